"""An encoder, and a model of a known taste."""

import pytest

from generator.reward.encoders import open_encoder
from generator.reward.model import fit_reward_model
from tests.generator.reward.made_texts import made_examples


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    return open_encoder("wordllama", tmp_path_factory.mktemp("none"))


@pytest.fixture(scope="session")
def model(encoder):
    return fit_reward_model(made_examples(60), encoder)
