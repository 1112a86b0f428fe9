"""Scores TFRecords of images with an exported SavedModel, in a pipeline of Apache Beam.

It needs `requirements.txt` beside it and nothing else of this project, as the workers of a cluster
do.
"""

import argparse
import contextlib
import csv
import io
import os
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# What libraries announce when they are imported applies to nobody.
_stderr = os.dup(2)
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
try:
    import apache_beam as beam
    import google_crc32c
    import numpy as np
    import tensorflow as tf
    from apache_beam.io import WriteToText, fileio, filesystems
    from apache_beam.metrics import Metrics, MetricsFilter
    from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, RunInference
    from apache_beam.options.pipeline_options import PipelineOptions
finally:
    os.dup2(_stderr, 2)

COUNTS = ("images", "records", "damaged")


class Refused(ValueError):
    """What was asked for cannot be done: nothing was written, exit status 2."""


@contextlib.contextmanager
def refusing(expected: str) -> Iterator[None]:
    """Tells in one line what was expected where TensorFlow or Beam raise an error."""
    try:
        yield
    except Refused:
        raise
    except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
        raise Refused(f"expected {expected}, received: {error}") from error


class Detector(ModelHandler[np.ndarray, tuple[np.ndarray, np.ndarray], tf.Module]):
    """Calls `detect` of a SavedModel.

    Beam's handler for TensorFlow loads with Keras, which takes no SavedModel any more.

    Args:
        model: Path of the SavedModel.
    """

    def __init__(self, model: str):
        # An element is a batch already.
        super().__init__(min_batch_size=1, max_batch_size=1)
        self._model = model

    def load_model(self) -> tf.Module:
        """Returns the SavedModel: once for each process of a worker."""
        return tf.saved_model.load(self._model)

    def run_inference(
        self, batch: Sequence[np.ndarray], model: tf.Module, inference_args=None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields scores and verdicts for each element, uint8 images `[n, h, w, c]`."""
        for images in batch:
            answer = model.signatures["detect"](images=images.astype("float32") / 255)
            yield answer["scores"].numpy(), answer["anomalous"].numpy()


def records_of(file) -> Iterator[tuple[int, bytes | None, str]]:
    """Yields the offset of each record of a file, its bytes, and what is wrong with it.

    A record whose bytes do not have their checksum is passed over. One whose length does not have
    it, or whose end is missing, takes what follows with it: nothing tells where the next begins.
    Readers of TFRecords, Beam's and TensorFlow's, end with the first of either.
    """
    offset = 0
    while head := file.read(12):
        if len(head) < 12 or _masked_checksum(head[:8]) != head[8:]:
            yield offset, None, "no length with its checksum; the rest of the file is not read"
            return
        length = struct.unpack("<Q", head[:8])[0]
        body = file.read(length + 4)
        if len(body) < length + 4:
            yield offset, None, f"expected {length} bytes, received {max(len(body) - 4, 0)}"
            return
        record = body[:length]
        is_whole = _masked_checksum(record) == body[length:]
        yield offset, record if is_whole else None, "" if is_whole else "not its checksum"
        offset += 16 + length


def _masked_checksum(content: bytes) -> bytes:
    value = google_crc32c.value(content)
    return struct.pack("<I", (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def decode(record: bytes, shape: Sequence[int]) -> tuple[tuple[str, ...], np.ndarray]:
    """Returns keys and images, uint8 `[n, height, width, channels]`, of a record.

    Raises:
        ValueError: If they are not there, or have another shape than `shape`, without `n`.
    """
    example = tf.train.Example.FromString(record)
    features = example.features.feature
    keys = tuple(key.decode() for key in features["keys"].bytes_list.value)
    found = tuple(features["shape"].int64_list.value)
    expected = (len(keys), *shape)
    if found != expected:
        raise ValueError(f"expected images of {expected}, received {found}")
    content = features["images"].bytes_list.value
    if [len(one) for one in content] != [np.prod(expected)]:
        raise ValueError(f"expected {np.prod(expected)} bytes, received {list(map(len, content))}")
    return keys, np.frombuffer(content[0], "uint8").reshape(expected)


class Read(beam.DoFn):
    """Reads files of records, and sets damaged records aside.

    Args:
        shape: Height, width and channels that the model takes.
    """

    def __init__(self, shape: Sequence[int]):
        self._shape = tuple(shape)
        self._count = {name: Metrics.counter("score", name) for name in COUNTS}

    def process(self, readable: fileio.ReadableFile):
        """Yields keys and images of each record, and a line for each that is damaged."""
        path = readable.metadata.path
        with readable.open(compression_type="uncompressed") as file:
            for offset, record, problem in records_of(file):
                if record is not None:
                    try:
                        keys, images = decode(record, self._shape)
                    except Exception as error:  # Whatever the bytes make protobuf say.
                        problem = str(error)
                    else:
                        self._count["records"].inc()
                        self._count["images"].inc(len(keys))
                        yield keys, images
                        continue
                self._count["damaged"].inc()
                yield beam.pvalue.TaggedOutput("damaged", _lines([(path, offset, problem)]))


def _lines(rows: Iterable[Sequence]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().removesuffix("\n")


def lines(element: tuple[Sequence[str], tuple[np.ndarray, np.ndarray]]) -> str:
    """Returns a line of CSV for each image of a record, as one element, which is faster."""
    keys, (scores, anomalous) = element
    verdicts = np.where(anomalous, "anomalous", "normal")
    return _lines(zip(keys, scores, verdicts, strict=True))


def shape_of(model: str) -> list[int]:
    """Returns height, width and channels of the images that `detect` of a SavedModel takes.

    Raises:
        Refused: If there is no such model.
    """
    with refusing(f"{model} to be a SavedModel with the signature detect"):
        detect = tf.saved_model.load(model).signatures["detect"]
        return detect.structured_input_signature[1]["images"].shape.as_list()[1:]


def score(model: str, records: str, output: str, options: Sequence[str] = ()) -> dict[str, int]:
    """Scores all images and writes `output/scores-*.csv` and `output/damaged-*.csv`.

    Args:
        model: Path of a SavedModel.
        records: Pattern of files with records.
        output: Directory to make.
        options: Flags of Beam, such as `--runner`.

    Returns:
        How many images and records were scored, and how many records were damaged.

    Raises:
        Refused: If there is no such model or no such file, or if `output` is there already.
    """
    shape = shape_of(model)
    join = filesystems.FileSystems.join
    with refusing("paths and a runner that Beam knows"):
        pipeline = beam.Pipeline(options=PipelineOptions(list(options)))
        if not filesystems.FileSystems.match([records], limits=[1])[0].metadata_list:
            raise Refused(f"--records: expected files, received none for {records}")
        if filesystems.FileSystems.exists(output):
            raise Refused(f"--output: expected a directory that is not there, received {output}")
        filesystems.FileSystems.mkdirs(output)
    read = (
        pipeline
        | fileio.MatchFiles(records)
        # Files go to all workers, each to one.
        | beam.Reshuffle()
        | fileio.ReadMatches()
        | beam.ParDo(Read(shape)).with_outputs("damaged", main="read")
    )
    _ = (
        read.read
        | RunInference(KeyedModelHandler(Detector(model)))
        | beam.Map(lines)
        | "scores" >> WriteToText(join(output, "scores"), ".csv", header="key,score,verdict")
    )
    _ = read.damaged | "damaged" >> WriteToText(
        join(output, "damaged"), ".csv", header="file,offset,reason", skip_if_empty=True
    )
    result = pipeline.run()
    result.wait_until_finish()
    counted = result.metrics().query(MetricsFilter().with_namespace("score"))["counters"]
    found = {counter.key.metric.name: counter.committed for counter in counted}
    return {name: found.get(name, 0) for name in COUNTS}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="score.py", description=__doc__.splitlines()[0], allow_abbrev=False,
        epilog="All other flags, such as --runner, go to Beam, which passes over unknown ones.",
    )  # fmt: skip
    parser.add_argument("--model", required=True, help="directory of the SavedModel")
    parser.add_argument("--records", required=True, help="pattern of files, as 'records/*'")
    parser.add_argument("--output", required=True, help="directory to make")
    chosen, options = parser.parse_known_args(arguments)
    try:
        counts = score(**vars(chosen), options=options)
    except Refused as error:
        print(f"score.py: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print("scored {images} images of {records} records, set {damaged} records aside".format(
        **counts))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
