"""Properties of the input checks and of the configs, over generated inputs."""

import math

import hypothesis.extra.numpy as arrays
import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_ae import data, models, recipes
from keras_ae.errors import BadRequest
from keras_ae.models import layers
from keras_ae.models.autoencoder import check_floats, check_images
from keras_ae.options import Options
from keras_ae.recipe import ACTIVATIONS, Recipe
from keras_ae.training import optimizer

# The first example of a model builds its graphs. Timing decides nothing here.
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ROW = (28, 28, 1)
METHODS = ("encode", "reconstruct", "score")

shapes = arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=29)
other_dtypes = st.sampled_from(
    ["bool", "int8", "uint8", "int32", "int64", "complex64", "complex128", "U3", "S3", "O", "M8[s]"]
)


@pytest.fixture(scope="module")
def model():
    return models.DenseAutoencoder(2, (4,))


@pytest.fixture(scope="module")
def vae():
    return models.VariationalAutoencoder(2, 4, base_filters=2, filters=(2, 2))


@relaxed
@given(shape=shapes.filter(lambda shape: shape[1:] != ROW))
def test_other_shapes_are_refused(shape):
    images = np.zeros(shape, "float32")
    with pytest.raises(ValueError, match=r"shape \[n, 28, 28, 1\]. Received: shape \[") as error:
        check_images(images)
    assert str(list(shape)) in str(error.value)


@relaxed
@given(rows=st.integers(0, 3), dtype=other_dtypes)
def test_other_dtypes_are_refused(rows, dtype):
    images = np.zeros((rows, *ROW), dtype)
    with pytest.raises(ValueError, match=r"must be floating point\. Received: dtype") as error:
        check_images(images)
    assert str(images.dtype) in str(error.value)


@relaxed
@given(
    rows=st.integers(1, 3),
    position=st.integers(0, 783),
    value=st.sampled_from([math.nan, math.inf, -math.inf]),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
)
def test_one_value_that_is_not_finite_is_refused(rows, position, value, dtype):
    images = np.zeros((rows, *ROW), dtype)
    images[-1].flat[position] = value
    with pytest.raises(ValueError, match=r"must be finite\. Received: 1 values"):
        check_images(images)


@relaxed
@given(
    position=st.integers(0, 783),
    value=st.one_of(
        st.floats(max_value=0, exclude_max=True, min_value=-3e38),
        st.floats(min_value=1, exclude_min=True, max_value=3e38),
    ),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_one_value_outside_the_range_is_refused(position, value, dtype):
    images = np.zeros((2, *ROW), dtype)
    images[1].flat[position] = value
    if images.astype("float32")[1].flat[position] in (0, 1):  # float32 rounds to the limit.
        check_images(images)
    else:
        with pytest.raises(ValueError, match=r"values in \[0, 1\].* Received: values from"):
            check_images(images)


@relaxed
@given(
    images=arrays.arrays(
        st.sampled_from(["float16", "float32", "float64"]),
        st.tuples(st.integers(0, 2), *map(st.just, ROW)),
        elements={"min_value": 0, "max_value": 1},
        fill=st.nothing() | st.just(0.5),
    )
)
def test_images_pass_unchanged(images):
    checked = check_images(images)
    assert checked.dtype == np.float32
    np.testing.assert_array_equal(checked, images.astype("float32"))


@given(value=st.floats(min_value=3.5e38, allow_infinity=False) | st.just(-1e300))
def test_latents_beyond_float32_are_refused(value):
    with pytest.raises(ValueError, match="must be finite"):
        check_floats(np.array([[0.0, value]]), "latents", (2,))


nonsense = st.one_of(
    st.none(),
    st.text(),
    st.binary(),
    st.integers(),
    st.floats(),
    st.lists(st.floats(), max_size=3),
    st.lists(st.lists(st.integers(), max_size=3), max_size=3),  # Rows of unequal length, too.
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)


@relaxed
@given(images=nonsense, method=st.sampled_from(METHODS))
def test_models_refuse_what_is_no_array_of_images(images, method, model, vae):
    for subject in (model, vae):
        with pytest.raises(ValueError, match="Received"):
            getattr(subject, method)(images)


@relaxed
@given(shape=shapes.filter(lambda shape: len(shape) != 2 or shape[1] != 2))
def test_models_refuse_latents_of_another_shape(shape, model):
    with pytest.raises(ValueError, match=r"`latents` must have the shape \[n, 2\]. Received"):
        model.decode(np.zeros(shape, "float32"))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batch_size", [0, -1, 1.5, "10", None, True])
def test_batch_sizes_that_are_none_are_refused(method, batch_size, model, digits):
    with pytest.raises(ValueError, match=r"`batch_size` must be a positive integer\. Received"):
        getattr(model, method)(digits[:2], batch_size=batch_size)


units = st.lists(st.integers(1, 6), max_size=3)
activations = st.sampled_from(ACTIVATIONS)
flags = st.booleans()
names = st.none() | st.just("a_name")
# Every registered class, with all of its arguments.
CLASSES = {
    models.DenseAutoencoder: st.fixed_dictionaries(
        {
            "latent_dim": st.integers(1, 5),
            "hidden_units": units,
            "activation": activations,
            "code_activation": activations,
            "batch_normalization": flags,
            "name": names,
        }
    ),
    models.ConvAutoencoder: st.fixed_dictionaries(
        {
            "latent_dim": st.integers(1, 5),
            "filters": st.lists(st.integers(1, 4), min_size=2, max_size=2),
            "activation": activations,
            "code_activation": activations,
            "name": names,
        }
    ),
    models.LSTMAutoencoder: st.fixed_dictionaries(
        {
            "latent_dim": st.integers(1, 5),
            "hidden_units": units,
            "activation": activations,
            "output_activation": activations,
            "unroll": st.just(False),
            "name": names,
        }
    ),
    models.SpatialAutoencoder: st.fixed_dictionaries(
        {
            "latent_filters": st.integers(1, 3),
            "filters": st.lists(st.integers(1, 4), min_size=2, max_size=2),
            "depth": st.integers(1, 2),
            "activation": activations,
            "code_activation": activations,
            "name": names,
        }
    ),
    models.VariationalAutoencoder: st.fixed_dictionaries(
        {
            "latent_dim": st.integers(1, 5),
            "lstm_units": st.integers(1, 5),
            "dense_units": units,
            "base_filters": st.integers(1, 4),
            "filters": st.lists(st.integers(1, 4), min_size=2, max_size=4),
            "code_activation": activations,
            "dropout": st.floats(0, 0.9),
            "beta": st.floats(0, 10),
            "unroll": st.just(False),
            "seed": st.none() | st.integers(0, 2**31 - 1),
            "name": names,
        }
    ),
    layers.GaussianSampling: st.fixed_dictionaries({"seed": st.none() | st.integers(0, 2**31 - 1)}),
    **dict.fromkeys(
        (optimizer.AdamL2, optimizer.MuonL2),
        st.fixed_dictionaries(
            {"learning_rate": st.floats(2**-20, 1, width=32), "l2": st.floats(0, 1)}
        ),
    ),
}


def test_no_registered_class_is_left_out():
    registered = keras.saving.get_custom_objects().values()
    ours = {one for one in registered if one.__module__.startswith("keras_ae")}
    assert ours == set(CLASSES)


@pytest.mark.parametrize("kind", CLASSES)
def test_configs_survive_the_round_trip(kind):
    @settings(deadline=None, max_examples=10)
    @given(arguments=CLASSES[kind])
    def check(arguments):
        first = kind(**arguments)
        config = first.get_config()
        for name, value in arguments.items():
            assert config[name] == value or (name, value) == ("name", None)
        serialized = keras.saving.serialize_keras_object(first)
        second = keras.saving.deserialize_keras_object(serialized)
        assert type(second) is kind
        assert second.get_config() == config
        if isinstance(first, keras.Model):
            shapes = [weight.shape for weight in first.weights]
            assert [weight.shape for weight in second.weights] == shapes

    check()


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just([1])
)
NUMBERS = ("noise_std", "steps", "percentile", "nll_samples", "nll_images", "seed", "clean_idx")


@given(name=st.sampled_from(NUMBERS), value=anything)
def test_options_are_good_or_refused_in_one_line(name, value):
    try:
        Options(**{name: value}).resolved({"name": "mnist", "test": 10_000})
        message = None
    except BadRequest as error:
        message = str(error)
    if message is None and value is None:
        assert name == "nll_images"  # As many as there are.
    elif message is None:
        assert type(value) in (int, float)
        assert 0 <= np.float32(value) < np.inf
    else:
        assert message.startswith(f"{name} must be ")
        assert repr(value) in message
        assert "\n" not in message


@pytest.mark.parametrize("value", [1e39, 1e300, math.inf, math.nan, 10**400])
def test_noise_beyond_float32_is_refused(value):
    with pytest.raises(BadRequest, match="noise_std must be a finite number above zero, received"):
        Options(noise_std=value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(
    name=st.sampled_from(list(recipes.RECIPES)),
    field=st.sampled_from([field.name for field in data.dataclasses.fields(Recipe)]),
    value=json_values,
)
def test_recipes_are_read_whole_or_refused(name, field, value):
    config = {**data.dataclasses.asdict(recipes.get(name)), field: value}
    try:
        recipe = recipes.from_config(config)
    except BadRequest:
        return
    assert getattr(recipe, field) == value
    assert recipes.from_config(data.dataclasses.asdict(recipe)) == recipe
