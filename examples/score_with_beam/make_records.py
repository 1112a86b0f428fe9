"""Writes TFRecords of image batches, for `score.py`, from a dataset or from a folder of pictures.

`python examples/score_with_beam/make_records.py mnist records` writes the test split of MNIST.

A record is a `tf.train.Example` with `keys` (a name for each image), `images` (their bytes) and
`shape` (number of images, height, width, channels).
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_ae import data
from keras_ae.commands import program
from keras_ae.errors import BadRequest
from keras_ae.files import check_writable, replacing


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    parser = program.Parser(prog="make_records.py", description=__doc__.splitlines()[0])
    parser.add_argument("source", help="folder or file of pictures, or a dataset such as mnist")
    parser.add_argument("output", type=Path, help="directory to make")
    parser.add_argument("--split", default="test", choices=("train", "validation", "test"),
                        help="of a dataset (default: test)")  # fmt: skip
    parser.add_argument("--images", type=int, default=500, metavar="N",
                        help="images in a record (default: 500)")  # fmt: skip
    parser.add_argument("--records", type=int, default=10, metavar="N",
                        help="records in a file (default: 10)")  # fmt: skip
    return program.run(parser, lambda options: make(**options), arguments)


def make(source: str, output: Path, split: str, images: int, records: int) -> None:
    """Writes the records: `output/00000.tfrecord` and so on.

    Args:
        source: Path of pictures, or the name of a dataset where there is no such path.
        output: Directory to make.
        split: Which split of a dataset.
        images: How many images are in a record.
        records: How many records are in a file.

    Raises:
        BadRequest: If there are no such images, or if `output` exists.
    """
    for name, number in (("images", images), ("records", records)):
        if number < 1:
            raise BadRequest(f"`{name}`: expected 1 or more, received {number}")
    if output.exists():
        raise BadRequest(f"expected a directory that is not there yet, received {output}")
    check_writable(output.parent)
    if Path(source).exists():
        pictures = data.read_images(source)
        keys, arrays = pictures.names, pictures.images
    else:
        arrays = getattr(data.load(source), split).images
        keys = [f"{source}-{split}-{number:05}" for number in range(len(arrays))]
    with replacing(output) as draft:
        draft.mkdir()
        for number, start in enumerate(range(0, len(keys), images * records)):
            with tf.io.TFRecordWriter(str(draft / f"{number:05}.tfrecord")) as writer:
                for first in range(start, min(start + images * records, len(keys)), images):
                    rows = slice(first, first + images)
                    writer.write(encode(keys[rows], arrays[rows]))
    print(f"wrote {len(keys)} images of {'x'.join(map(str, arrays.shape[1:]))} to {output}")


def encode(keys: Sequence[str], images: np.ndarray) -> bytes:
    """Returns a record of images, uint8 `[n, height, width, channels]`, with a key for each."""
    names = tf.train.BytesList(value=[key.encode() for key in keys])
    features = {
        "keys": tf.train.Feature(bytes_list=names),
        "images": tf.train.Feature(bytes_list=tf.train.BytesList(value=[images.tobytes()])),
        "shape": tf.train.Feature(int64_list=tf.train.Int64List(value=images.shape)),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


if __name__ == "__main__":
    sys.exit(main())
