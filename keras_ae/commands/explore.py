"""Makes a page from trained runs: `python explore.py`."""

import webbrowser
from collections.abc import Sequence

from keras_ae import explorer
from keras_ae.commands import program
from keras_ae.errors import BadRequest
from keras_ae.files import check_images
from keras_ae.runs import Run, pretrained

SCRIPT = "explore.py"


def main(arguments: Sequence[str] | None = None, *, prog: str = SCRIPT) -> int:
    """Runs `explore.py` and returns its exit status."""
    return program.run(_parser(prog), _explore, arguments)


def console() -> int:
    """Runs `keras-ae-explore` and returns its exit status."""
    return main(prog="keras-ae-explore")


def _parser(prog: str) -> program.Parser:
    parser = program.Parser(
        prog=prog,
        description="Write a page on which a visitor draws digits and walks through the latent "
        "space of trained models, in the browser alone: it opens from disk and from any server.",
    )
    add = parser.add_argument
    add("runs", nargs="*", metavar="RUN",
        help="directory of a finished run, or name of a shipped model, all of one dataset "
        f"(default: {' '.join(explorer.MODELS)})")  # fmt: skip
    add("-o", "--output", metavar="PATH",
        help=f"directory, or file with --one-file, to write; an earlier page there is replaced "
        f"(default: {explorer.FOLDER} or {explorer.FILE})")  # fmt: skip
    add("--images", metavar="PATH", help="the runs' own pictures, if they have moved")
    add("--one-file", action="store_true", help="write a single HTML file")
    add("--open", action="store_true", help="open the page in the browser")
    return parser


def _explore(options: dict) -> None:
    one_file, images, output = (options[name] for name in ("one_file", "images", "output"))
    if output is None:
        output = explorer.FILE if one_file else explorer.FOLDER
    # All that can be refused without TensorFlow is refused at once.
    index = explorer.check_target(output, one_file)
    shipped = pretrained()
    names = options["runs"] or explorer.MODELS
    runs = [shipped.get(name) or Run(name) for name in names]
    if len({run.directory.resolve() for run in runs}) < len(runs):
        raise BadRequest(f"expected runs, each once, received {' '.join(names)}")
    for run in runs:
        run.read_trained()
        run.read_settings(images)
    if images is not None:
        check_images(images)

    with program.quiet_tensorflow():
        from keras_ae.explorer import build
    build.build(runs, index if one_file else index.parent, one_file, images)
    print(f"saved to {index}")
    if options["open"]:
        webbrowser.open(index.as_uri())
