"""The checker of wording finds each breach in its place and accepts ordinary super-resolution prose."""

import runpy

import pytest

from tests.conftest import REPOSITORY

PROSE = runpy.run_path(str(REPOSITORY / "docs" / "prose.py"))
LONG = "The generator upscales each image of the validation folder, and the command writes its PSNR and SSIM to a file "

BREACHES = [
    ("length", LONG + "with one line per image and a mean at the end."),
    ("length", "It reads `a b`, `c d` and " + "very " * 22 + "long names."),
    ("colons", "Two phases: the first trains the generator; the second adds a discriminator."),
    ("colons", "Three losses: pixel; perceptual; adversarial."),
    ("start", "What the network predicts is blurred."),
    ("start", "Where memory is short, use smaller tiles."),
    ("start", "Whoever trains again gets the same bits."),
    ("start", "Of the results, the third is sharpest."),
    ("start", "The tile is computed. Which tile is next depends on memory."),
    ("fronted", "With a blurred image only, give a kernel."),
    ("fronted", "With such a model the kernel is needed."),
    ("per", "The network predicts 41 patches a second."),
    ("per", "Training takes 0.15 s a step on this GPU."),
    ("per", "The batch is the number of patches a step, over all devices."),
    ("per", "A kernel has one number a pixel."),
    ("per", "The checkpoint is written twice an hour."),
    ("numbers", "Set5, Set14 and BSD100 have 32.09, 28.58 and 27.57 dB."),
    ("numbers", "It took 3 hours, 12 % of the memory and 1,000,000 steps."),
    ("verb", "The command says how many images it found."),
    ("verb", "The header tells the bit depth."),
    ("verb", "A network that knows the noise level is sharper."),
    ("verb", "The library asks for torchvision."),
    ("verb", "It names a format that the weights do not tell."),
    ("avoid", "The optimizer starts anew."),
    ("avoid", "The same command goes on from the checkpoint."),
    ("avoid", "Give the command again to go on."),
    ("avoid", "The second pass mends the seams."),
    ("avoid", "The format follows the file's ending."),
    ("avoid", "Other endings are refused."),
    ("avoid", "The model card lies in that folder."),
    ("avoid", "The defaults stand in `config.yaml`."),
    ("avoid", "The layer behind the pixel shuffle has no bias."),
    ("avoid", "Noise spoils the pixels."),
    ("avoid", "The memory is reckoned per tile."),
    ("avoid", "The tiles run in turn for want of memory."),
    ("avoid", "The image is upscaled in one piece."),
    ("avoid", "A photo whose profile is damaged loses it."),
    ("avoid", "It checks whether the file is complete or not."),
    ("avoid", "The GAN trains by itself."),
    ("avoid", "Each image has a seed of its own."),
    ("term", "It enlarges photos."),
    ("term", "The result is four times larger."),
    ("term", "The packaged network is small."),
    ("term", "The networks in the box are small."),
    ("term", "The photos are reduced four times."),
    ("term", "It was trained on clean reductions."),
    ("term", "LR images are made by bicubic reduction."),
    ("term", "Low resolution is made from HR images."),
    ("term", "PSNR is measured against the truth."),
    ("term", "The imitation has less texture."),
    ("term", "The command writes a sheet of crops."),
    ("term", "VGG19 leaves bright dots."),
    ("term", "The blocks are recomputed in the backward pass."),
    ("term", "A published model is downloaded once."),
    ("term", "Download the weights by hand."),
    ("term", "The photo becomes twice as large."),
    ("term", "Average the eight flips and quarter turns."),
    ("term", "The moving average is saved."),
    ("term", "The overlap is as far as the network looks."),
]

ACCEPTED = [
    LONG + "with one line.",
    "Train with `python train.py --phase psnr --config configs/a.yaml --set psnr.steps=1 --run_dir a --x 1`.",
    "`--alpha`: 0 is the PSNR network; 1 is the GAN network.",
    "The time 12:30 and the sampling 4:2:0 have colons: two kinds.",
    "Whether a GPU is used depends on TensorFlow.",
    "What does the network need?",
    "Offset and gain are stored per channel.",
    "Without a GPU, training takes days.",
    "With two GPUs, each step takes half the time.",
    "A tile overlaps the next tile by 16 pixels on a side.",
    "It reads two images a second time.",
    "The discriminator sees three patches, a photo and its LR image.",
    "Training needs 3 steps a run folder can hold.",
    "Python 3.11, TensorFlow 2.20, Keras 3 and NumPy 1.26 are the oldest versions.",
    "Photos of 768x512, 300 by 200 and 64 × 64 pixels have 3 channels and 8-bit values.",
    "It follows section 4.1 of ESRGAN (Wang et al., 2018) and arXiv 1809.00219, with 23 blocks at ×4 or x2.",
    "Pixels in [0, 1] become values in [0, 255] by a factor of 255.",
    "Luma is y = 0.299 r + 0.587 g + 0.114 b.",
    "The header contains the bit depth and the command prints it.",
    "Tell us which GPU you have.",
    "The bias goes on the last layer, and Adam runs on the GPU.",
    "Name files ending in `.png`, with Unix line endings.",
    "The abbreviation stands for exponential moving average.",
    "The value lies in [0, 1].",
    "Each transparent pixel lies under the next layer, and the kernel's middle lies at the origin.",
    "Pad by hand: the layer pads each side.",
    "The teacher is twice as large.",
    "Patches are augmented by flips and quarter turns.",
    "The moving average of batch normalisation is a weight.",
    "See docs/enlarging.md or set runtime.recompute=blocks and data.hr_dir=enlarged.",
    "Values of 0.0 to 0.5 become values of 0 to 127, a factor of 255.",
    "The box that holds the EXIF data is the `meta` box.",
    "The server runs behind a reverse proxy, and no temporary files are left behind.",
    "The schedule is piecewise constant.",
    "The profile is damaged or not the file's first.",
    "Your own images need no names of their type.",
    "Tiles reduce the memory of inference, and gradients are reduced over all replicas.",
    "TensorFlow fuses the reduction of each axis.",
    "HR patches and LR patches have the same ground truth.",
    "The bounding box is drawn, and a spreadsheet holds the metrics.",
    "The name's dots become underscores.",
    "It works out of the box on Linux.",
    "LR and low-resolution (LR) images are the same.",
    "The file `photo_enlarged.png` has the key `anew` of `the truth`.",
    "Wang et al. propose a residual-in-residual dense block, e.g. for ×4.",
]


def found(text, kind="prose"):
    return [(finding.rule, finding.word) for finding in PROSE["findings_in"](text, kind)]


@pytest.mark.parametrize(("rule", "text"), BREACHES)
def test_a_breach_is_found_and_no_other(rule, text):
    assert {name for name, _ in found(text)} == {rule}


@pytest.mark.parametrize("text", ACCEPTED)
def test_ordinary_prose_is_accepted(text):
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("What a folder holds", False),
        ("How it works", False),
        ("On your own photos", False),
        ("What does the model need?", True),
        ("Training", True),
        ("Upscale a photo", True),
        ("In-place updates", True),
    ],
)
@pytest.mark.parametrize("kind", ["heading", "help"])
def test_headings_and_help_texts_begin_with_a_noun_or_a_verb(kind, text, accepted):
    assert [rule for rule, _ in found(text, kind)] == ([] if accepted else ["opening"])


def test_cells_are_sentences_only_if_they_have_some_words():
    assert found("what it does | 1, 2, 3, 4", "cell") == []
    assert found("Of the folder", "cell") == []
    assert found("Of the folder, all images are read", "cell") == [("start", "Of")]
    assert found("32.09, 28.58, 27.57, 26.04 dB on the four test sets", "cell") == []


def test_labels_of_messages_are_not_counted_as_colons():
    assert found("{path}: no PNG; expected a photo", "message") == []
    assert found("esrgan-tf: {path}: no PNG; expected a photo", "message") == []
    assert found("--tile {tile}: too small; the least is 16", "message") == []
    assert [rule for rule, _ in found("no PNG: {path}; expected: a photo", "message")] == ["colons"]


def located(path, source):
    return [
        (finding.line, finding.rule)
        for text in PROSE["texts_of"](path, source)
        for finding in PROSE["findings_in"](text.text, text.kind, path, text.line)
    ]


MARKDOWN = """\
# What it does

A [published
model](enlarge.md "enlarges") is read.
`It enlarges` nothing here. The `file` is
read anew.

```sh
# It enlarges.
```

- A first entry.
- A second entry
  enlarges.

      It enlarges in a code block.

| file | meaning |
| --- | --- |
| `enlarge` | It enlarges the file. |

::: esrgan_tf.enlarge
    options: enlarge

<img alt="" src="enlarge.png">
![The truth](truth.png)
"""


def test_markdown_is_read_without_code_and_addresses():
    expected = [(1, "opening"), (3, "term"), (5, "avoid"), (13, "term"), (20, "term"), (26, "term")]
    assert located("docs/a.md", MARKDOWN) == expected


def test_only_the_newest_section_of_the_changelog_is_checked():
    text = "# Changelog\n\n## [Unreleased]\n\n- It enlarges.\n\n## [0.1.0]\n\n- It enlarges.\n"
    assert located("CHANGELOG.md", text) == [(5, "term")]
    assert located("README.md", text) == [(5, "term"), (9, "term")]


PYTHON = '''\
"""It enlarges."""
# It is started
# anew.
x = 1  # What it is. noqa

TEXT = "It enlarges."


def read(path):  # type: ignore  of its own
    """Reads a file.

    Args:
        path: of the file; anything
            that enlarges.

    Returns:
        One image; no piece.

    >>> enlarge("anew")
    """
    if not path:
        raise UserError(f"{path:>{enlarge}}: it enlarges {enlarge(path)} "
                        "anew")
    print("enlarge", "The truth")
    flags.DEFINE_string("kernel", None, "What blurred the image.", flag_values=FLAGS)
    flags.DEFINE_enum("format", None, ["of the truth"], f"Of {path} results.")
    key: Annotated[int, AtLeast(1), "of the file"] = 1
'''


def test_python_is_read_by_docstrings_comments_and_what_users_see():
    everywhere = [(1, "term"), (2, "avoid"), (4, "start"), (13, "term"), (17, "avoid")]
    assert sorted(located("tests/a.py", PYTHON)) == everywhere
    shown = [(22, "avoid"), (22, "term"), (24, "term"), (25, "opening"), (26, "opening"), (27, "opening")]
    assert sorted(located("esrgan_tf/a.py", PYTHON)) == everywhere + shown


def test_yaml_is_read_by_its_comments():
    text = "# It enlarges\n# anew.\n#   python enlarge\n\na: enlarge  # it enlarges\nb: 'x#enlarge'\n"
    assert located("configs/a.yaml", text) == [(1, "avoid"), (1, "term"), (5, "term")]
    assert located("config.yaml", text) == [(1, "avoid"), (1, "term")]


@pytest.fixture
def project(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("It enlarges photos.\n")
    (tmp_path / "docs" / "a.md").write_text("It starts anew.\n\nIt is “fine”.\n", encoding="utf-8")
    return tmp_path


def allow(project, *lines):
    (project / "docs" / "prose_exceptions.txt").write_text("# rules\n" + "\n".join(lines) + "\n")


def test_findings_are_counted_and_fail(project, capsys):
    assert PROSE["main"]([], project) == 1
    out = capsys.readouterr().out
    assert "README.md:1: term: enlarges: It enlarges photos.\ndocs/a.md:1: avoid: anew: It starts anew.\n" in out
    assert out.splitlines()[-1].split() == ["1", "docs/a.md"]
    assert PROSE["main"](["--count", str(project / "docs" / "a.md")], project) == 1
    assert capsys.readouterr().out.split() == ["1", "docs/a.md"]


def test_exceptions_allow_sentences_and_must_match(project, capsys):
    allow(project, 'README.md: term: "enlarges photos"', 'docs/a.md: avoid: "starts anew"')
    assert PROSE["main"]([], project) == 0
    assert capsys.readouterr().out == ""
    allow(project, 'README.md: avoid: "enlarges photos"', 'docs/a.md: avoid: "starts anew"')
    assert PROSE["main"]([], project) == 1
    assert "docs/prose_exceptions.txt:2: exception: matches nothing: enlarges photos\n" in capsys.readouterr().out
    assert PROSE["main"]([str(project / "docs" / "a.md")], project) == 0  # exceptions for other files are not checked


@pytest.mark.parametrize("line", ["README.md: term", "README.md: term: enlarges"])
def test_an_exception_in_another_form_is_refused(project, capsys, line):
    allow(project, line)
    with pytest.raises(SystemExit, match="2"):
        PROSE["main"]([], project)
    assert "docs/prose_exceptions.txt:2: expected" in capsys.readouterr().err


def test_a_file_that_is_not_checked_is_refused(project, capsys):
    with pytest.raises(SystemExit, match="2"):
        PROSE["main"]([str(project / "absent.md")], project)
    assert "absent.md: not a file that is checked" in capsys.readouterr().err
