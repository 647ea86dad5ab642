r"""Ways to damage a file: its bytes, the JSON in it, the header of its arrays, the members of its archive."""

import gzip
import json
import random
import zipfile
from collections.abc import Callable
from io import BytesIO
from typing import Any

import yaml

LARGEST_INSIDE = 2**18  # bytes; what is larger was blown up before, and would only take long to parse
Mutation = Callable[[random.Random, bytes], bytes]

NUMBERS = ('0', '-1', '1e999', '-1e999', 'NaN', '9' * 400, '9223372036854775808', '4294967296', '1e-320', '0.5')
# Lengths and sizes that a header may claim, least byte first and last.
CLAIMS = tuple(value.to_bytes(size, order) for size in (2, 4, 8) for order in ('little', 'big')
               for value in (0, 1, 2**(8 * size - 1) - 1, 2**(8 * size - 1), 2**(8 * size) - 1))
WRONG = (None, True, False, 0, -1, 0.5, 1e308, 2**63, 10**30, 10**9, '', ' ', 'x', '\0', '\ud800', '../../etc/passwd',
         '/etc/passwd', 'x' * 5000, [], [[]], {}, {'x': 1}, ['x'], [0], [None], float('nan'), float('inf'))
STRAY = (b'\0', b'\xff\xfe', b'\xc3(', b'\xed\xa0\x80', b'\xf0\x9f\x98\x80', b'\xe2\x80\xa8', b'\r', b'\n', b'"', b'\\',
         b'{', b'[', b',', b'\xef\xbb\xbf')


def damage(rng: random.Random, name: str, data: bytes, other: bytes) -> bytes:
    r"""One to three mutations.

    Args:
        rng: What is drawn.
        name: The file's name: what is in it follows from its suffix.
        data: Its content.
        other: Content of another file, for splices.
    """
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        inside = INSIDE.get(name.rpartition('.')[2]) if rng.random() < 0.6 and len(data) < LARGEST_INSIDE else None
        if inside is not None:
            try:
                data = inside(rng, data)
                continue
            except Exception:  # damaged too far already for its parts to be found, as any parser may say
                pass
        data = damage_bytes(rng, data, other)
    return data


def damage_bytes(rng: random.Random, data: bytes, other: bytes = b'') -> bytes:
    r"""One mutation of bytes that nothing is known of."""
    return rng.choice(BYTES)(rng, data, other)


def _place(rng: random.Random, data: bytes) -> int:
    return rng.randrange(len(data) + 1)


def _block(rng: random.Random, data: bytes) -> tuple[int, int]:
    start = _place(rng, data)
    return start, min(len(data), start + rng.choice((1, 4, 16, 64, 512, 4096)))


def _flip(rng: random.Random, data: bytes, _: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 32)) if data else 0):
        # Headers say what the rest means: every other flip is near the start.
        end = min(len(out), 128) if rng.random() < 0.5 else len(out)
        out[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(out)


def _cut(rng: random.Random, data: bytes, _: bytes) -> bytes:
    return data[:_place(rng, data)] if rng.random() < 0.95 else b''


def _remove(rng: random.Random, data: bytes, _: bytes) -> bytes:
    start, stop = _block(rng, data)
    return data[:start] + data[stop:]


def _repeat(rng: random.Random, data: bytes, _: bytes) -> bytes:
    start, stop = _block(rng, data)
    times = rng.choice((1, 1, 2, 10, 100))
    return data[:start] + data[start:stop] * times + data[start:]


def _splice(rng: random.Random, data: bytes, other: bytes) -> bytes:
    start, stop = _block(rng, other)
    place = _place(rng, data)
    return data[:place] + other[start:stop] + data[place + rng.choice((0, stop - start)):]


def _insert(rng: random.Random, data: bytes, _: bytes) -> bytes:
    place = _place(rng, data)
    return data[:place] + rng.choice(STRAY) + data[place + rng.choice((0, 1)):]


def _claim(rng: random.Random, data: bytes, _: bytes) -> bytes:
    claim = rng.choice(CLAIMS)
    place = rng.randrange(max(1, min(len(data), rng.choice((64, 1024, len(data) + 1)))))
    return data[:place] + claim + data[place + len(claim):]


def _number(rng: random.Random, data: bytes, other: bytes) -> bytes:
    digits = [i for i, byte in enumerate(data[:65536]) if 48 <= byte <= 57]
    if not digits:
        return _flip(rng, data, other)
    start = stop = rng.choice(digits)
    while stop < len(data) and 48 <= data[stop] <= 57:
        stop += 1
    return data[:start] + rng.choice(NUMBERS).encode() + data[stop:]


def _nest(rng: random.Random, data: bytes, _: bytes) -> bytes:
    place, (left, right) = _place(rng, data), rng.choice(((b'[', b']'), (b'{"a":', b'}'), (b'[{"a":', b'}]')))
    depth = rng.choice((10, 1000, 100_000))
    return data[:place] + left * depth + rng.choice((b'', right * depth)) + data[place:]


def _line_ends(rng: random.Random, data: bytes, _: bytes) -> bytes:
    return data.replace(b'\n', rng.choice((b'\r\n', b'\r', b'\n\n', b'', b'\x85', b'\xe2\x80\xa8', b'\0')))


def _noise(rng: random.Random, data: bytes, _: bytes) -> bytes:
    start, stop = _block(rng, data)
    return data[:start] + rng.randbytes(stop - start) + data[stop:]


BYTES = (_flip, _flip, _cut, _remove, _repeat, _splice, _insert, _claim, _number, _nest, _line_ends, _noise)


def damage_value(rng: random.Random, value: Any) -> Any:
    r"""JSON in which one place holds something of another kind, lacks a key, or has one too many."""
    places: list[tuple[Any, Any]] = []
    stack = [value]
    while stack:
        parent = stack.pop()
        for key in parent if isinstance(parent, dict) else range(len(parent)) if isinstance(parent, list) else ():
            places.append((parent, key))
            stack.append(parent[key])
    if not places or rng.random() < 0.03:
        return rng.choice(WRONG)
    parent, key = rng.choice(places)
    kind = rng.randrange(8)
    if kind < 4:
        parent[key] = rng.choice(WRONG)
    elif kind == 4:
        del parent[key]
    elif kind == 5:
        other, place = rng.choice(places)
        parent[key] = json.loads(json.dumps(other[place])) if _has(other, place) else None
    elif kind == 6:
        parent[key] = [parent[key]] if rng.random() < 0.5 else {str(key): parent[key]}
    elif isinstance(parent, dict):
        parent[rng.choice(('', 'x', '\0', '__class__', '9' * 30))] = parent.pop(key)
    else:
        parent.extend(parent[:] * rng.choice((1, 10)))
    return value


def _has(parent: Any, key: Any) -> bool:
    return key in parent if isinstance(parent, dict) else key < len(parent)


def _json(rng: random.Random, data: bytes) -> bytes:
    return json.dumps(damage_value(rng, json.loads(data)), ensure_ascii=rng.random() < 0.5).encode(
        'utf-8', 'surrogatepass')


def _json_lines(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b'\n')
    place = rng.choice([i for i, line in enumerate(lines) if line.strip()] or [0])
    lines[place] = _json(rng, lines[place])
    return b'\n'.join(lines)


def _gzip(rng: random.Random, data: bytes) -> bytes:
    inner = gzip.decompress(data)
    return gzip.compress(_json_lines(rng, inner) if rng.random() < 0.7 else damage_bytes(rng, inner), 1, mtime=0)


def _npy(rng: random.Random, data: bytes) -> bytes:
    """The header of an array, which is a Python literal, or the numbers behind it."""
    size = int.from_bytes(data[8:10], 'little')
    header, numbers = data[10:10 + size], data[10 + size:]
    if rng.random() < 0.3:
        return data[:10 + size] + damage_bytes(rng, numbers)
    if rng.random() < 0.5:
        header = rng.choice((
            header.replace(b'<f4', rng.choice((b'<f8', b'|O', b'<i8', b'|V0', b'<U9', b'<c8', b'>f4', b'|b1', b'<M8'))),
            header.replace(b'(', b'(' + rng.choice((b'0, ', b'-1, ', b'99999999999, ', b'2, '))),
            header.replace(b'False', b'True'), header.replace(b"'", b''), b"{'a': " * 200 + header,
        ))
    else:
        header = damage_bytes(rng, header)
    header = header.strip() + b'\n'
    return data[:8] + (len(header) % 65536).to_bytes(2, 'little') + header + numbers


def _safetensors(rng: random.Random, data: bytes) -> bytes:
    """The header, which is JSON, or the numbers behind it."""
    size = int.from_bytes(data[:8], 'little')
    if rng.random() < 0.3:
        return data[:8 + size] + damage_bytes(rng, data[8 + size:])
    header = _json(rng, data[8:8 + size])
    return len(header).to_bytes(8, 'little') + header + data[8 + size:]


def _zip(rng: random.Random, data: bytes) -> bytes:
    """One member of an archive, which is written again."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    place = rng.randrange(len(members))
    name, content = members[place]
    kind = rng.randrange(6)
    if kind == 0:
        del members[place]
    elif kind == 1:
        members[place] = rng.choice(('../' + name, '/' + name, name + 'x', 'x' * 300)), content
    else:
        members[place] = name, (_npy if name.endswith('.npy') else damage_bytes)(rng, content)
    out = BytesIO()
    with zipfile.ZipFile(out, 'w', rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, archive.compression)  # of a fixed date
    return out.getvalue()


def _yaml(rng: random.Random, data: bytes) -> bytes:
    if rng.random() < 0.3:
        extra = rng.choice((
            b'model: !!python/object/apply:os.system ["true"]\n', b'model: &a [*a]\n', b'<<: *nothing\n',
            b'? [a]\n: b\n',
            b'a: &a [x, x]\n' + b''.join(b'%c: &%c [%b]\n' % (n, n, b', '.join([b'*%c' % (n - 1)] * 9))
                                         for n in b'bcdefghij'),
            b'%YAML 9.9\n---\n', b'---\na: 1\n---\nb: 2\n', b'lr: 2001-01-01\n', b'lr: 1:2:3\n', b'lr: 0x10\n'))
        return data + extra if rng.random() < 0.5 else extra + data
    if b'*' in data:  # aliases, of which a few lines may stand for gigabytes
        return damage_bytes(rng, data)
    return yaml.safe_dump(damage_value(rng, yaml.safe_load(data)), sort_keys=False).encode('utf-8', 'surrogatepass')


INSIDE: dict[str, Mutation] = {'json': _json, 'jsonl': _json_lines, 'gz': _gzip, 'npy': _npy, 'npz': _zip,
                               'safetensors': _safetensors, 'ckpt': _zip, 'yaml': _yaml}
