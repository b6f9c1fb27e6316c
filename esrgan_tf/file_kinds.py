"""Recognition of weights files by their first bytes, or else by their extension. Imports no TensorFlow."""

import re
import struct
import tarfile
import zipfile
from enum import Enum
from pathlib import Path

from esrgan_tf.errors import UserError, listed

PICKLED = (".pth", ".pt", ".ckpt")
READABLE = (".safetensors", *PICKLED)
EXPECTED = (
    f"expected a .keras model, the folder of a SavedModel or of a run, or PyTorch weights ({', '.join(READABLE)})"
)


class FileKind(Enum):
    """A file format that can be read."""

    KERAS = "a Keras model"
    SAFETENSORS = "a safetensors file"
    TORCH = "a PyTorch file"
    HDF5 = "an HDF5 file"


_HDF5 = "an HDF5 file, as Keras 2 wrote models and Keras 3 writes weights alone"
_CHECKPOINT = "part of a TensorFlow checkpoint"
_ARCHIVE = "an archive; unpack it"

# Extensions of formats that cannot be read: the last criterion for an input, and refused for an output.
UNSUPPORTED = {
    ".onnx": "an ONNX model, which is written but not read",
    ".tflite": "a LiteRT model, which is written but not read",
    ".param": "a network of ncnn",
    ".bin": "weights of ncnn or OpenVINO",
    ".xml": "a network of OpenVINO",
    ".engine": "a TensorRT engine",
    ".mlmodel": "a Core ML model",
    ".gguf": "a GGUF model",
    ".h5": _HDF5,
    ".hdf5": _HDF5,
    ".pb": "a TensorFlow graph; for a SavedModel, name the folder",
    ".index": _CHECKPOINT,
    ".meta": _CHECKPOINT,
    ".data-00000-of-00001": _CHECKPOINT,
    ".npz": "an archive of NumPy arrays",
    ".npy": "a NumPy array",
    ".pkl": "a pickle, which could run code",
    ".json": "a JSON file",
    ".yaml": "a configuration; for a run, name the folder",
    ".zip": _ARCHIVE,
    ".gz": _ARCHIVE,
    ".tar": _ARCHIVE,
}

_TEXT_FORMATS = (".param", ".xml", ".json", ".yaml")  # of the unsupported formats
_HEAD = 4096  # bytes that are read to recognise a format
_UNPACK = "unpack it, and name the weights file in it"
_POINTER = "a Git LFS pointer to a file, not the file; run git lfs pull, or download the file itself"
_PICTURE = "not weights; name the file of the model"
_SIGNATURES = {  # first bytes: description for the message
    b"version https://git-lfs.github.com/": _POINTER,
    b"version https://hawser.github.com/": _POINTER,
    b"/annex/objects/": "a git-annex pointer to a file, not the file; run git annex get",
    b"\x89PNG\r\n\x1a\n": f"a PNG picture, {_PICTURE}",
    b"\xff\xd8\xff": f"a JPEG picture, {_PICTURE}",
    b"GIF8": f"a GIF picture, {_PICTURE}",
    b"II*\0": f"a TIFF picture, {_PICTURE}",
    b"MM\0*": f"a TIFF picture, {_PICTURE}",
    b"\xff\x0a": f"a JPEG XL picture, {_PICTURE}",
    b"\0\0\0\x0cJXL ": f"a JPEG XL picture, {_PICTURE}",
    b"8BPS": f"a Photoshop picture, {_PICTURE}",
    b"v/1\x01": f"an OpenEXR picture, {_PICTURE}",
    b"%PDF": "a PDF document, not weights",
    b"\x1f\x8b": f"an archive (gzip); {_UNPACK}",
    b"7z\xbc\xaf\x27\x1c": f"an archive (7z); {_UNPACK}",
    b"Rar!\x1a\x07": f"an archive (rar); {_UNPACK}",
    b"\xfd7zXZ\0": f"an archive (xz); {_UNPACK}",
    b"\x28\xb5\x2f\xfd": f"an archive (zstd); {_UNPACK}",
    b"\x04\x22\x4d\x18": f"an archive (lz4); {_UNPACK}",
    b"BZh": f"an archive (bzip2); {_UNPACK}",
    b"\0\x05\x16\x07": "macOS metadata of another file, not weights; name the file without the prefix ._",
    b"GGUF": UNSUPPORTED[".gguf"],
    b"\x93NUMPY": UNSUPPORTED[".npy"],
    b"7767517\n": UNSUPPORTED[".param"],
    b"ptrt": UNSUPPORTED[".engine"],
    b"ftrt": UNSUPPORTED[".engine"],
    b"\x7fELF": "a program, not weights",
}  # fmt: skip
_MARKUP = re.compile(rb"<(!doctype|html|head|body|script|\?xml|!--|error|[a-z][\w:.-]*[\s>/])", re.IGNORECASE)
_YAML = re.compile(r"(%YAML|---\s|(#.*\s+)*[\w.-]+:(\s|$))")
_IN_ARCHIVE = (".safetensors", ".keras", *PICKLED)


def identify(path: Path) -> FileKind:
    """The readable format of a file, recognised by its first bytes.

    The extension decides only if the bytes are ambiguous, such as those of a damaged file; the format's reader then
    raises the error.

    Raises:
        UserError: the file has no readable format; the message names the format and a remedy.
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    kind = _readable_kind(path, head) or _describe_unsupported(path, head) or _kind_by_name(path, head)
    if isinstance(kind, FileKind):
        return kind
    raise UserError(f"{path} is {kind}{'' if ';' in kind else f'; {EXPECTED}'}")


def check_weights(path: Path) -> None:
    """Refuses a file that is no weights file, before the import of slow libraries.

    Raises:
        UserError: `identify` refuses the file, or it is an HDF5 file, a format that is read for VGG19's weights only.
    """
    if identify(path) is FileKind.HDF5:
        raise UserError(f"{path} is {UNSUPPORTED['.h5']}; {EXPECTED}")


def _readable_kind(path, head):
    """The file's kind, the description of a refused file in one of these containers, or None."""
    if head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= 100_000_000:  # the largest that safetensors opens
        return FileKind.SAFETENSORS
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_kind(path, head)
    if head.startswith(b"\x80") and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return FileKind.TORCH  # written before PyTorch 1.6, or a bare pickle, which the reader refuses
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return FileKind.HDF5
    return None


def _zip_kind(path, head):
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # parsers raise any exception on damaged bytes; the first entry identifies a truncated file
        length = int.from_bytes(head[26:28], "little")
        name = head[30 : 30 + length].decode("utf-8", "replace")
        if name.endswith(("/data.pkl", "/.format_version", "/byteorder")):
            return FileKind.TORCH
        if name in ("metadata.json", "config.json"):
            return FileKind.KERAS
        return _kind_by_suffix(path) or "a truncated zip file; download it again"
    inside = {name.partition("/")[2] for name in names}
    if inside & {"constants.pkl", "code/"} or any(name.startswith("code/") for name in inside):
        return (
            "a TorchScript program, not weights; save its state dict instead, with "
            f'torch.save(torch.jit.load("{path.name}").state_dict(), "weights.pth")'
        )
    if "data.pkl" in inside:
        return FileKind.TORCH
    if {"metadata.json", "config.json"} <= set(names):
        return FileKind.KERAS
    if names and all(name.endswith(".npy") for name in names):
        return UNSUPPORTED[".npz"]
    if "archive_format" in inside or "models/model.json" in inside:
        return "a program of torch.export, not weights; save the state dict of its network instead"
    wanted = [name for name in names if name.lower().endswith(_IN_ARCHIVE) and name.isprintable()]
    return f"an archive (zip){f' that holds {listed(wanted, 3)}' if wanted else ''}; {_UNPACK}"


def _describe_unsupported(path, head):
    """The description of a file that is certainly of an unsupported format, or None."""
    if not head:
        return "an empty file; download it again, or copy it again"
    for signature, description in _SIGNATURES.items():
        if head.startswith(signature):
            return description
    if not head.strip(b"\0") and len(head) >= 512:
        return "a file of zero bytes, probably an unfinished download; download it again"
    if head[257:262] == b"ustar":
        return _describe_tar(path)
    if head[:4] == b"RIFF":
        return f"a {'WebP' if head[8:12] == b'WEBP' else 'RIFF'} file, {_PICTURE}"
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return f"a BMP picture, {_PICTURE}"
    if head[4:8] == b"ftyp":
        return f"a picture or film (ISO media), {_PICTURE}"
    if head[4:8] == b"TFL3":
        return UNSUPPORTED[".tflite"]
    if _is_onnx(head):
        return UNSUPPORTED[".onnx"]
    return _describe_markup(head)


def _describe_tar(path):
    try:
        with tarfile.open(path) as archive:
            names = archive.getnames()
    except Exception:  # parsers raise any exception on damaged bytes
        names = []
    if {"pickle", "storages", "tensors"} <= set(names):
        return (
            "in PyTorch's oldest format (tar), which cannot be read; if you trust the file, write it again with "
            f'torch.save(torch.load("{path.name}", weights_only=False), "weights.pth")'
        )
    return f"an archive (tar); {_UNPACK}"


def _is_onnx(head):
    """Whether the file begins like ONNX' protocol buffer: the version, then the producer's name or the graph."""
    if len(head) < 5 or head[0] != 8 or not 3 <= head[1] <= 30:
        return False
    if head[2:3] == b"\x12":
        name = head[4 : 4 + head[3]]
        return head[3] < 100 and name.isascii() and name.decode().isprintable()
    return head[2:3] == b"\x3a"


def _describe_markup(head):
    """The description of a web page, an XML text or a JSON text, or None."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = text.decode("utf-16", "ignore").encode().lstrip()
    if _MARKUP.match(text):
        if re.search(rb"<net\s[^>]*name=", text):
            return UNSUPPORTED[".xml"]
        web = re.search(rb"<(!doctype\s+html|html|head|body|script)", text, re.IGNORECASE)
        return "a web page, so the download failed; download the file itself" if web else "an XML text, not weights"
    if re.match(rb'\{\s*("|\})|\[\s*["{\[\]]', text) and _as_text(text) is not None:
        return "a JSON text, such as a server's response or a configuration; download the weights file itself"
    return None


def _kind_by_name(path, head):
    """The kind or the description by the extension, for bytes that no signature matches."""
    description, text = UNSUPPORTED.get(path.suffix.lower()), _as_text(head)
    is_text = text is not None and len(text) >= 4  # fewer bytes are ambiguous
    if description is not None and (not is_text or path.suffix.lower() in _TEXT_FORMATS):
        return f"{description}; {EXPECTED}"
    if text is not None and is_text:
        kind = "a YAML text" if _YAML.match(text) else "a text file"
        return f"{kind}, not weights; {EXPECTED}"
    return _kind_by_suffix(path) or f"not a weights file of a known format; {EXPECTED}"


def _kind_by_suffix(path):
    suffix = path.suffix.lower()
    if suffix in PICKLED:
        return FileKind.TORCH
    return {".safetensors": FileKind.SAFETENSORS, ".keras": FileKind.KERAS}.get(suffix)


def _as_text(head):
    """The first bytes as text, or None if they are no printable UTF-8."""
    try:
        text = head.decode("utf-8", "strict" if len(head) < _HEAD else "ignore")
    except UnicodeDecodeError:
        return None
    return text if all(letter.isprintable() or letter in "\r\n\t\f" for letter in text) else None
