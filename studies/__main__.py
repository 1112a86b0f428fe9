"""The command line of the studies: `python -m studies`. TensorFlow is imported where it trains."""

import sys
from collections.abc import Sequence

from keras_ae.commands import program
from keras_ae.errors import BadRequest
from keras_ae.files import check_writable, write_text
from studies import catalogue, results, series, tables
from studies.store import ROOT, StudyFiles, clean_commit


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `python -m studies` and returns its exit status."""
    return program.run(_parser(), lambda options: options.pop("command")(**options), arguments)


def _parser() -> program.Parser:
    parser = program.Parser(
        prog="python -m studies",
        description="Train recipes side by side, measure them, and judge claims by the numbers.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function, help: str, with_study: bool = True) -> program.Parser:
        parser = commands.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
        parser.set_defaults(command=function)
        if with_study:
            names = ", ".join(catalogue.STUDIES)
            parser.add_argument("name", metavar="NAME", help=f"one of {names}")
        return parser

    train = command("train", _train, "train and measure what a study still lacks")
    train.add_argument(
        "--keep-runs", action="store_true", help="keep the run directories when they are measured"
    )
    train.add_argument(
        "--again", nargs="+", metavar="VARIANT",
        help="train these variants anew with the first seed, to compare processors",
    )  # fmt: skip
    places = train.add_mutually_exclusive_group()
    places.add_argument(
        "--workers", type=int, default=1, metavar="N", help="runs at once on this machine"
    )
    places.add_argument(
        "--scheduler", metavar="ADDRESS", help="train on the workers of this Dask scheduler"
    )
    command("report", _report, "write tables and figure of a study from its measurements")
    command("results", _results, "write verdicts and numbers into RESULTS.md and the studies' "
            "pages", with_study=False)  # fmt: skip
    command("list", _list, "list the studies", with_study=False)
    return parser


def _train(
    name: str, again: list[str] | None, keep_runs: bool, workers: int, scheduler: str | None
) -> None:
    study = catalogue.get(name)
    # Workers of a cluster may have been started elsewhere.
    files = StudyFiles(study.name, ROOT.absolute() if scheduler else ROOT, again=bool(again))
    if again:
        study = study.only(again)
    check_writable(files.directory)
    if study.missing(files.read()):
        clean_commit()
        waiting = series.train(study, files, keep_runs, workers, scheduler)
        if waiting:
            print(f"other commands still work on {', '.join(run.name for run in waiting)}")
            return
    print(
        f"all {len(study.runs)} runs of {study.name} are measured in {files.measurements}; "
        f"tables and figure: python -m studies report {study.name}"
    )


def _report(name: str) -> None:
    study = catalogue.get(name)
    files = StudyFiles(study.name)
    check_writable(files.directory)
    measurements = files.read()
    if len(study.missing(measurements)) == len(study.runs):
        raise BadRequest(
            f"expected measurements of the study in {files.measurements}, received none: "
            f"python -m studies train {study.name}"
        )
    # matplotlib comes with them.
    from keras_ae import figures
    from studies.figures import draw

    again = StudyFiles(study.name, again=True).read()
    write_text(files.table, tables.markdown(study, measurements, again))
    write_text(files.rows, tables.rows_csv(study, measurements))
    figures.save(draw(study, measurements), files.figure)
    if missing := tables.missing_by_variant(study, measurements):
        print(f"not measured yet: {missing}")
    print(f"saved {files.table}, {files.rows} and {files.figure}")


def _results() -> None:
    verdicts = results.write()
    print(f"saved {results.RESULTS} and the studies' pages with {len(verdicts)} verdicts")


def _list() -> None:
    print(f"{'study':20}{'runs':>6}  question")
    for study in catalogue.STUDIES.values():
        print(f"{study.name:20}{len(study.runs):>6}  {study.question}")


if __name__ == "__main__":
    sys.exit(main())
