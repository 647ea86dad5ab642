"""How far two copies of EmojiMEL agree, and whether the rules hold on the existing one."""

import gzip
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from build import FILES, Mentions, build_entities
from PIL import Image
from sources import Record, Sources


def read_lines(path: Path) -> list[Record]:
    """Records of a gzipped JSON-lines file."""
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]


def report_fields(name: str, new: dict[Any, Record], old: dict[Any, Record]) -> None:
    """Per field, in how many records present in both copies the values agree."""
    both = [k for k in old if k in new]
    print(f"  {name}: {len(new)} rebuilt, {len(old)} existing, {len(both)} in both; fields that agree:")
    for field in next(iter(old.values())):
        print(f"    {field}: {sum(new[k].get(field) == old[k][field] for k in both)}/{len(both)}")


def report_rules(sources: Sources, entities: list[Record], mentions: list[Record]) -> None:
    """Test the deterministic rules on existing mentions, their random choices taken as given."""
    rules, seen = Mentions(sources, entities), Counter()
    for m in mentions:
        row, surface = m["entity"], m["surface"]
        if m["source"] == "emojilib":
            tags = m["text"].split(", ")
            tags.remove(surface)
            same = tags == rules.context(row, surface, m["vendor"])
        else:
            same = m["text"] == f"{surface}: {rules.gloss(row, surface)}"
        seen[f"{m['source']} text follows from surface and vendor", same] += 1
        negatives, pool = set(m["cand"]) - {row}, rules.candidate_pool(row, surface)
        seen["candidates obey the holder rule", pool <= negatives or negatives <= pool] += 1
    quota = [Counter((e["subgroup"], e["split"]) for e in es) for es in (entities, build_entities(sources))]
    print("  rules tested on the existing mentions, random choices taken as given:")
    for rule in sorted({r for r, _ in seen}):
        print(f"    {rule}: {seen[rule, True]}/{seen[rule, True] + seen[rule, False]}")
    print(f"    split quotas of every subgroup: {'agree' if quota[0] == quota[1] else 'differ'}")


def check(sources: Sources, out: Path, existing: Path) -> bool:
    """Print the agreement of two copies; true when all bytes agree."""
    equal = True
    for name in FILES:
        if not (existing / name).is_file():
            sys.exit(f"{existing / name} is missing; --check needs a complete copy of the data set")
        same = (out / name).read_bytes() == (existing / name).read_bytes()
        equal &= same
        print(f"{name}: {'identical bytes' if same else 'DIFFERENT'}")
        if name.endswith(".webp"):
            a, b = (np.asarray(Image.open(d / name).convert("RGB")) for d in (out, existing))
            print(f"  pixels: {(a == b).all(-1).mean():.4%} agree" if a.shape == b.shape
                  else f"  sizes differ: {a.shape} and {b.shape}")
    new, old = ([read_lines(d / n) for n in FILES[:2]] for d in (out, existing))
    report_fields("entities", *({e["id"]: e for e in copy[0]} for copy in (new, old)))
    report_fields("mentions, matched by entity, source and vendor",
                  *({(entities[m["entity"]]["id"], m["source"], m["vendor"]): m for m in mentions}
                    for entities, mentions in (new, old)))
    report_rules(sources, *old)
    return equal
