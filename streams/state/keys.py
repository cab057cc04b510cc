"""The keys of a changelog partition, which are the keys of its state store too.

f                        fence: the id of the owner that took the shard over last
o                        origin: written once, first of all: incarnation, partitions, format
c                        cursor: the next offset of each input topic
d/<sequence>/<part>      a delta (16 and 3 hex digits)
i/<segment id>           a segment's index
s/<segment id>           a segment's bytes
m/<source>/<segment id>  a manifest entry: where in the archive the segment lies
v/<source>               the lifecycle version that the shard has applied
n/<source>               numbers of unique users as they were when the source expired: how many
                         pieces they have, and the first of them
p/<piece>/<source>       a further piece of those (4 hex digits), written before n/
e/<sequence>/<part>      a delta of the counts; a/<level>/<run id>/<piece> a run of them
q/<sequence>/<part>      a delta of the roster; r/<level>/<run id>/<piece> a run of it
x/<sequence>/<part>      a delta of events' external ids; y/<level>/<run id>/<piece> a run of them
h/<sequence>/<part>      hashes of event ids that were seen
w/<sequence>/<part>      the same of a former version, whose hashes held within one version of
                         Polars: never read, and deleted
z                        erased users: the id of their key, and how far their rows are removed
g/<digest>               an erased user, as a keyed hash (32 hex digits)
j/<request id>           how far the shard is with a request that erases users
"""

__all__ = [
    "CURSOR",
    "ERASURE_MARKS",
    "FENCE",
    "ORIGIN",
    "applied",
    "delta",
    "delta_sequence",
    "erased",
    "erased_digest",
    "erasure",
    "index",
    "kind",
    "manifest_entry",
    "manifest_entry_parts",
    "name",
    "run",
    "run_parts",
    "segment",
    "uniques",
    "uniques_piece",
]

FENCE = b"f"
ORIGIN = b"o"
CURSOR = b"c"
ERASURE_MARKS = b"z"


def delta(sequence: int, part: int, letter: bytes = b"d") -> bytes:
    """The key of one part of a step's delta; `letter` names another family's."""
    return b"%b/%016x/%03x" % (letter, sequence, part)


def run(letter: bytes, level: int, run_id: str, piece: int) -> bytes:
    """The key of one piece of an auxiliary table's run."""
    return b"%b/%02x/%b/%03x" % (letter, level, run_id.encode(), piece)


def run_parts(key: bytes) -> tuple[int, str]:
    """`(level, run id)` of a run's key."""
    return int(key[2:4], 16), key[5:29].decode()


def index(segment_id: str) -> bytes:
    """The key of a segment's index."""
    return f"i/{segment_id}".encode()


def segment(segment_id: str) -> bytes:
    """The key of a segment's bytes."""
    return f"s/{segment_id}".encode()


def manifest_entry(source: str, segment_id: str) -> bytes:
    """The key of a manifest entry."""
    return f"m/{source}/{segment_id}".encode()


def applied(source: str) -> bytes:
    """The key of the version of `source` that the shard has applied."""
    return f"v/{source}".encode()


def uniques(source: str) -> bytes:
    """The key of the numbers of unique users of an expired source."""
    return f"n/{source}".encode()


def uniques_piece(source: str, piece: int) -> bytes:
    """The key of a piece of those: `uniques` is that of the first, 0."""
    return f"p/{piece:04x}/{source}".encode() if piece else uniques(source)


def erased(digest: bytes) -> bytes:
    """The key of an erased user."""
    return b"g/" + digest.hex().encode()


def erased_digest(key: bytes) -> bytes:
    """The digest in such a key. Raises ValueError."""
    return bytes.fromhex(name(key))


def erasure(request_id: str) -> bytes:
    """The key of this shard's part of a request that erases users."""
    return f"j/{request_id}".encode()


def kind(key: bytes) -> bytes:
    """The letter that says what a key is of."""
    return key[:1]


def name(key: bytes) -> str:
    """What follows the letter and the slash."""
    return key[2:].decode()


def delta_sequence(key: bytes) -> int:
    """The step's number in a delta's key."""
    return int(key[2:18], 16)


def manifest_entry_parts(key: bytes) -> tuple[str, str]:
    """`(source, segment id)` of a manifest key; a source may hold slashes, an id none."""
    source, _, segment_id = name(key).rpartition("/")
    return source, segment_id
