"""Compares the pipeline with a loop around the signature, both from the same files of records.

`python examples/score_with_beam/measure.py` with the requirements of README.md.
"""

import argparse
import csv
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import make_records
import score
import tensorflow as tf

MODEL = Path(__file__).parents[2] / "saved_models" / "pretrained" / "conv" / "saved_model"


def loop(model: str, records: Path, output: Path) -> int:
    """Reads with tf.data, calls the signature, writes the same lines."""
    detect = tf.saved_model.load(model).signatures["detect"]
    shape = score.shape_of(model)
    count = 0
    with output.open("w") as file:
        writer = csv.writer(file)
        for record in tf.data.TFRecordDataset([str(path) for path in sorted(records.iterdir())]):
            keys, images = score.decode(record.numpy(), shape)
            answer = detect(images=tf.constant(images.astype("float32") / 255))
            scores, anomalous = answer["scores"].numpy(), answer["anomalous"].numpy()
            for key, value, is_anomalous in zip(keys, scores, anomalous, strict=True):
                writer.writerow((key, value, "anomalous" if is_anomalous else "normal"))
            count += len(keys)
    return count


def main() -> None:
    """Prints the speed of both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(MODEL))
    parser.add_argument("--images", type=int, default=500, help="in a record (default: 500)")
    parser.add_argument("--copies", type=int, default=10, help="of 10,000 images (default: 10)")
    parser.add_argument("--repeats", type=int, default=3, help="in turns (default: 3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        make_records.make("mnist", place / "once", "test", options.images, 10)
        (place / "records").mkdir()
        for copy in range(options.copies):
            for path in (place / "once").iterdir():
                shutil.copy(path, place / "records" / f"{copy}-{path.name}")
        rates: dict[str, list[tuple[float, float]]] = {"loop": [], "pipeline": []}
        for number in range(options.repeats):
            for name, taken in rates.items():
                began, used = time.perf_counter(), time.process_time()
                if name == "loop":
                    count = loop(options.model, place / "records", place / "loop.csv")
                else:
                    output = str(place / f"scores{number}")
                    count = score.score(options.model, f"{place}/records/*", output)["images"]
                spent = time.perf_counter() - began, time.process_time() - used
                taken.append(tuple(count / seconds for seconds in spent))
    # The second tells more where other programs have a share of the processor.
    for number, kind in enumerate(("images per second", "images per second of processor time")):
        print(kind)
        medians = []
        for name, taken in rates.items():
            every = [rate[number] for rate in taken]
            medians.append(statistics.median(every))
            print(f"  {name}: median {medians[-1]:,.0f} ({min(every):,.0f} to {max(every):,.0f})")
        print(f"  pipeline / loop: {medians[1] / medians[0]:.2f}")


if __name__ == "__main__":
    main()
