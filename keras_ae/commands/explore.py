"""Makes a page from trained runs: `python explore.py`."""

import argparse
import webbrowser
from collections.abc import Sequence

from keras_ae import explorer
from keras_ae.commands import program
from keras_ae.errors import BadRequest
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
        argument_default=argparse.SUPPRESS,
    )
    add = parser.add_argument
    add("runs", nargs="*", metavar="RUN",
        help="directory of a finished run, or name of a shipped model, all of one dataset "
        f"(default: {' '.join(explorer.SHIPPED)})")  # fmt: skip
    add("-o", "--output", metavar="PATH",
        help=f"directory, or file with --one-file, to write; an earlier page there is replaced "
        f"(default: {explorer.FOLDER} or {explorer.FILE})")  # fmt: skip
    add("--one-file", action="store_true", default=False, help="write a single HTML file")
    add("--open", action="store_true", default=False, help="open the page in the browser")
    return parser


def _explore(options: dict) -> None:
    one_file = options["one_file"]
    # All that can be refused without TensorFlow is refused at once.
    target = explorer.Target(
        options.get("output", explorer.FILE if one_file else explorer.FOLDER), one_file
    )
    shipped = pretrained()
    names = options.get("runs") or explorer.SHIPPED
    runs = [shipped.get(name) or Run(name) for name in names]
    if len({run.directory.resolve() for run in runs}) < len(runs):
        raise BadRequest(f"expected each run once, received {' '.join(names)}")
    for run in runs:
        run.read_trained()

    with program.quiet_tensorflow():
        from keras_ae.explorer import build
    build.build(runs, target)
    print(f"saved to {target.index}")
    if options["open"]:
        webbrowser.open(target.index.as_uri())
