"""The errors of `bandit`.

    BanditError
    ├── PolicyError             a policy that cannot be made, read or asked
    │   ├── PolicySpecError         an unknown policy, or a parameter that is off
    │   └── PolicyStateError        bytes that are not the state of a policy
    ├── FeatureError            features that a policy cannot read
    ├── EmbeddingError          an embedding of texts that is not installed
    ├── VersionError            a version of a placement's policy that there is not
    ├── GeneratorVersionError   a version of the generator that cannot become what is asked
    │   └── GeneratorVersionUnknown one that there is not
    ├── ReviewError             a verdict on a creative that cannot be taken
    ├── LearnError              a record that cannot be learned from; its code says why
    ├── SettingError            a setting that stops the start; names the setting
    ├── RequestError            a request that is refused, with its HTTP status
    ├── KeyUnknown              a key of the API that there is not
    ├── ReplayError             a log that cannot be replayed
    ├── EstimateError           data from which a policy's value cannot be estimated
    │   └── RewardOutside           a reward outside of the range that an interval counts on
    ├── ReaderError             a file of decisions that cannot be read; names file and line
    └── PlotError               a picture that cannot be drawn; says what to install

Every error has a stable `code`; `LearnError` and `RequestError` take their own per case.
`bandit.client` has a tree of its own.
"""

from __future__ import annotations


class BanditError(Exception):
    """The base of everything that `bandit` raises on purpose."""

    code = "bandit_error"


class PolicyError(BanditError):
    """A policy that cannot be made, read or asked."""

    code = "policy_error"


class PolicySpecError(PolicyError):
    """A policy's name or parameters are off; the message names the one that is."""

    code = "policy_spec_invalid"


class PolicyStateError(PolicyError):
    """Bytes that are not the state of a policy."""

    code = "policy_state_invalid"


class FeatureError(BanditError):
    """Features that cannot be read: not a JSON object, or a value that is no feature."""

    code = "features_invalid"


class EmbeddingError(BanditError):
    """An embedding of texts that is not installed; says what to install."""

    code = "embedding_missing"


class VersionError(BanditError):
    """A version of a placement's policy that there is not, or a placement that has none."""

    code = "version_unknown"


class GeneratorVersionError(BanditError):
    """A version of the generator whose status forbids what is asked of it."""

    code = "generator_version_state"


class GeneratorVersionUnknown(GeneratorVersionError):
    """A version of the generator that there is not."""

    code = "generator_version_not_found"


class ReviewError(BanditError):
    """A verdict on a creative that is not there, or that does not wait for one."""

    code = "review_refused"


class LearnError(BanditError):
    """A record among the interactions that cannot be learned from; `code` is per case."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SettingError(BanditError):
    """A setting that stops the start."""

    code = "setting_invalid"


class RequestError(BanditError):
    """A request that is refused: `status` is HTTP's, `code` is ours and stable."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.target = target
        self.retry_after_seconds = retry_after_seconds


class KeyUnknown(BanditError):
    """A key of the API that there is not."""

    code = "key_not_found"


class ReplayError(BanditError):
    """A log that cannot be replayed."""

    code = "replay_input_invalid"


class EstimateError(BanditError):
    """Data, or a setting, with which a policy's value cannot be estimated."""

    code = "estimate_invalid"


class RewardOutside(EstimateError):
    """A reward outside of the range that an interval was told to count on."""


class ReaderError(BanditError):
    """A file of logged decisions that cannot be read."""

    code = "reader_input_invalid"


class PlotError(BanditError):
    """A picture that cannot be drawn: matplotlib is missing, or the file's name is off."""

    code = "plot_unavailable"
