"""The errors of `generator`.

    GeneratorError
    ├── PackageOverwritten      files of another distribution in the place of ours
    ├── BriefError              a brief that cannot be read; the message says where
    │   └── TextsError              a file of texts, beside a brief, that cannot be read
    ├── ChannelUnknown          no channel is called so
    ├── AdsFileError            a file of ads that cannot be read, or ads that a file cannot hold
    ├── FeedError               a feed of products that cannot be read; the message says where
    ├── MaterialError           a picture, film or sound that nothing can be made of
    ├── ModelsError             a file of models that cannot be read; the message says where
    ├── ThresholdsError         a file of the gates' thresholds that cannot be read
    ├── PlacementUnknown        a placement is asked for that is not there
    ├── DatasetError            nothing that could be taught, or a folder that is no dataset
    ├── TrainingError           a training that cannot be run as asked, or failed
    │   ├── TrainingTooLarge        it needs more memory than there is
    │   ├── TrainingConfigError     its configuration cannot be read; the message says where
    │   └── TrainingStopped         it was told to stop, and kept a checkpoint
    ├── RewardModelError        a file that is no reward model, or one that cannot be made
    │   └── TooLittleEvidence       traffic has not told enough texts apart yet
    ├── VersionMissing          no version in the data folder, or a folder that is none
    ├── VersionDamaged          a version whose bytes are not those that it is named by
    ├── VersionMisfit           a version that was taught from another model
    ├── GateError               a version that cannot be judged
    └── BackendError            the model cannot be had, or failed
        ├── BackendMissing          what to install is in the message
        ├── AnswerUnusable          a server's answer that holds no text
        ├── AnswerWithheld          a filter, a refusal or a limit left nothing of any text
        └── AdapterRefused          a server that does not load an adapter

Every error has a stable `code`.
"""

from __future__ import annotations


class GeneratorError(Exception):
    """The base of everything that `generator` raises on purpose."""

    code = "generator_error"


class PackageOverwritten(GeneratorError):
    """Files of another distribution stand where copyloop's were installed."""

    code = "package_overwritten"


class BriefError(GeneratorError):
    """A brief that cannot be read."""

    code = "brief_invalid"


class TextsError(BriefError):
    """A file of texts that cannot be read."""

    code = "texts_unreadable"


class ChannelUnknown(GeneratorError):
    """No channel is called so; the message names those that there are."""

    code = "channel_unknown"


class AdsFileError(GeneratorError):
    """A file of ads that cannot be read, or ads that a platform's file cannot hold."""

    code = "ads_file_invalid"


class FeedError(GeneratorError):
    """A feed of products that cannot be read, or a template that does not fit it."""

    code = "feed_invalid"


class MaterialError(GeneratorError):
    """A file of a brief's material that cannot be read, or that no model looks at."""

    code = "material_unusable"


class ModelsError(GeneratorError):
    """Models that cannot be: the file that names them, or a key, cannot be read."""

    code = "models_invalid"


class ThresholdsError(GeneratorError):
    """Thresholds of the gates that cannot be read, or are none."""

    code = "thresholds_invalid"


class PlacementUnknown(GeneratorError):
    """A placement is asked for that was deleted since, or never was."""

    code = "placement_unknown"


class VersionMissing(GeneratorError):
    """A version that is not in the data folder, or a folder that no training has finished."""

    code = "version_missing"


class VersionDamaged(GeneratorError):
    """A version whose bytes are not those that it is named by."""

    code = "version_damaged"


class VersionMisfit(GeneratorError):
    """A version that was taught from another model than the one it is to be judged on."""

    code = "version_of_another_model"


class GateError(GeneratorError):
    """A version that cannot be judged."""

    code = "gate_unable"


class BackendError(GeneratorError):
    """The language model failed, or cannot be loaded; `retriable` if the same may succeed later."""

    code = "backend_failed"

    def __init__(self, words: str, *, retriable: bool = False) -> None:
        super().__init__(words)
        self.retriable = retriable


class BackendMissing(BackendError):
    """A package or a model is not installed; the message says how to get it."""

    code = "backend_missing"


class AnswerUnusable(BackendError):
    """A server's answer that holds no text: no choices, no JSON, or an error inside.

    The same request may succeed, unless `retriable` says otherwise.
    """

    code = "answer_unusable"

    def __init__(self, words: str, *, retriable: bool = True) -> None:
        super().__init__(words, retriable=retriable)


class AnswerWithheld(BackendError):
    """Every text of a call was withheld: by a content filter, a refusal, or a limit of tokens."""

    code = "answer_withheld"


class AdapterRefused(BackendError):
    """A server does not load an adapter; the message says which setting would let it."""

    code = "adapter_refused"


class RewardModelError(GeneratorError):
    """A reward model that cannot be made or read."""

    code = "reward_model_invalid"


class TooLittleEvidence(RewardModelError):
    """Traffic has not told enough texts apart yet; with more of it the same call may succeed."""

    code = "reward_model_evidence"


class DatasetError(GeneratorError):
    """Nothing that the generator could be taught, or a folder that holds no dataset."""

    code = "dataset_invalid"


class TrainingError(GeneratorError):
    """A training that cannot be run as asked: wrong parent, wrong folder, or the model failed."""

    code = "training_failed"


class TrainingConfigError(TrainingError):
    """A training's configuration that cannot be read; the message names file and field."""

    code = "training_config_invalid"


class TrainingTooLarge(TrainingError):
    """A training needs more memory than this process may take; nothing was begun."""

    code = "training_too_large"


class TrainingStopped(TrainingError):
    """The training was told to stop; the same call goes on from the checkpoint that it kept."""

    code = "training_stopped"
