"""What `benchmarks.regression` makes of measurements. Nothing here is timed."""

import copy
import json

import numpy as np
import pytest

from benchmarks import regression, tables
from benchmarks.tables import RESULTS


@pytest.fixture
def results():
    """The committed training on the processor that has the times of every epoch."""
    return json.loads((RESULTS / "amd-epyc-2-cores" / "training.json").read_text("utf-8"))


def test_what_is_as_fast_as_before_is_not_called_slower(results):
    before = regression.of_training(results)
    lines, slower = regression.report(before, before)
    assert slower == []
    assert len(lines) == 1 + len(results) == 7
    # Turns in another order, and a machine that is slower in all, are no regression either.
    for result in results.values():
        for row in result["contenders"].values():
            row["epoch_seconds"] = [3 * seconds for seconds in reversed(row["epoch_seconds"])]
    assert regression.report(before, regression.of_training(results))[1] == []


def test_what_lost_more_than_the_noise_is_named(results):
    before, changed = regression.of_training(results), copy.deepcopy(results)
    row = changed["mlp"]["contenders"]["keras_ae"]
    row["epoch_seconds"] = [1.25 * seconds for seconds in row["epoch_seconds"]]
    lines, slower = regression.report(before, regression.of_training(changed))
    assert slower == ["mlp, training"]
    (line,) = [line for line in lines if line.endswith("SLOWER")]
    assert line.split()[:5] == ["mlp,", "training", "1.70", "1.36", "20%"]


def test_noise_is_that_of_either_run():
    quiet, loud = [2.0, 2.01, 1.99, 2.0], [1.8, 1.2, 2.4, 1.6]
    assert regression.compare(quiet, loud) == pytest.approx((1 - 1.7 / 2, 2 * 0.45 / 1.7))
    assert regression.compare(loud, quiet)[1] == regression.compare(quiet, loud)[1]
    lost, noise = regression.compare(quiet, [0.9 * ratio for ratio in quiet])
    assert lost == pytest.approx(0.1)
    assert noise < 0.02


def test_a_saved_run_is_compared_with_where_there_is_one(results):
    files = {"training": {}, "inference": {}, regression.SAVED: {}}
    assert regression.of_all(files) == {}
    files["training"] = results
    assert regression.of_all(files) == regression.of_training(results)
    files[regression.SAVED] = {"mlp": {"ratios": {"mlp, training": [1.5, 1.6]}}}
    assert regression.of_all(files) == {
        **regression.of_training(results),
        "mlp, training": [1.5, 1.6],
    }


@pytest.mark.parametrize("processor", ["amd-epyc-2-cores", "intel-xeon-2-cores"])
def test_ratios_are_those_of_the_tables(processor):
    results = json.loads((RESULTS / processor / "training.json").read_text("utf-8"))
    for name, ratios in regression.of_training(results).items():
        rows = results[name.removesuffix(", training")]["contenders"]
        speeds = [rows[contender]["images_per_second"] for contender in regression.TRAINED]
        # That of medians, and the median of those of turns.
        assert np.median(ratios) == pytest.approx(speeds[0] / speeds[1], rel=0.1)


def test_an_operation_that_the_reference_lacks_is_left_out():
    results = json.loads((RESULTS / "amd-epyc-2-cores" / "inference.json").read_text("utf-8"))
    ratios = regression.of_inference(results)
    assert "mlp, score, batch 1" in ratios
    assert "vae-baseline, score, batch 1" not in ratios
    row = results["mlp"]["rows"][0]
    assert ratios["mlp, reconstruct, batch 1"] == [
        row["seconds"]["Keras predict"] / row["seconds"]["keras_ae"]
    ]


def test_pytorch_has_the_better_of_one_thread_and_all():
    speeds = {
        "keras_ae": 30.0,
        "pytorch": 10.0,
        "pytorch, one thread": 12.0,
        "torch.compile": 20.0,
        "torch.compile, one thread": 15.0,
        "keras_fit": 5.0,
    }
    result = {"contenders": {name: {"images_per_second": speeds[name]} for name in speeds}}
    assert tables.images_per_second(result) == {
        "keras_ae": 30.0,
        "pytorch": 12.0,
        "torch.compile": 20.0,
        "keras_fit": 5.0,
    }
