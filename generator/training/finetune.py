"""A training from a dataset to an adapter: its stages, its checkpoints, and its manifest.

OUT/adapter/        the adapter, once it is done
OUT/manifest.json   what it was made of, written last
OUT/logs/           TensorBoard's, where it was asked for
OUT/checkpoints/    while it runs: what it is (`run.json`), and where each stage is
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import msgspec
import torch
from accelerate import PartialState
from huggingface_hub import constants as hub

from generator.data.dataset import CARD, ROWS, read_dataset, rows_file
from generator.errors import BackendMissing, TrainingConfigError, TrainingError
from generator.files import files_hash
from generator.models.base import SHAPE
from generator.models.devices import Device, pick_device, use_one_thread
from generator.models.opening import ADAPTER, MANIFEST, WEIGHTS
from generator.reward.ranking import open_trusted
from generator.training.adapters import Base, check_adapter, load_base, parent_adapter, save_adapter
from generator.training.config import FinetuneConfig, Manifest, installed_versions
from generator.training.grpo import train_grpo
from generator.training.launching import check_launch
from generator.training.methods import train_dpo, train_kto, train_scorer, train_sft
from generator.training.needs import Needs, check_fits, needs_of
from generator.training.running import Cost, StageResult, Stop, TrainingJob, TrainingProgress
from streams.files.writing import BY_UMASK, write_whole

TRAIN: Final[dict[str, Callable[[TrainingJob], StageResult]]] = {
    "sft": train_sft,
    "dpo": train_dpo,
    "kto": train_kto,
    "grpo": train_grpo,
    "reward": train_scorer,
}
RUN: Final = "run.json"


def _stages_of(config: FinetuneConfig) -> tuple[str, ...]:
    return ("sft", "dpo") if config.method == "loop" else (config.method,)


class _Run(msgspec.Struct, frozen=True, kw_only=True):
    """What a training is; checkpoints of another are not gone on from."""

    config: FinetuneConfig
    dataset_sha256: str
    parent_sha256: str | None
    processes: int
    reward_sha256: str | None = None


def finetune(
    dataset: Path,
    out: Path,
    config: FinetuneConfig,
    *,
    progress: TrainingProgress | None = None,
    stop: Stop | None = None,
    before: Manifest | None = None,
    told: Callable[[Needs], None] | None = None,
) -> Manifest:
    """Returns the manifest of the adapter that was trained into `out/adapter`.

    Called again with the same arguments after it was stopped or killed, it goes on from its last
    checkpoint. Under `accelerate launch` every process calls it, and the main one writes.

    Args:
        dataset: a folder of `write_dataset`; its rows for testing are measured on, never trained.
        out: a folder, empty or of this training.
        config: method, model and numbers.
        progress: told after every update.
        before: of a run that this one repeats; its dataset, parent and model have to be the same.
        stop: asked after every update; where it says so, a checkpoint is kept.
        told: told what the training needs, in the main process, before it begins.

    Raises:
        DatasetError: there is no dataset, or it has nothing for this method.
        RewardModelError: the method asks a reward model, and it is not there or not trusted.
        BackendMissing: the packaged model is not installed.
        TrainingTooLarge: it needs more memory than there is.
        TrainingStopped: `stop` said so.
        TrainingError: it cannot be run as asked, or failed.
    """
    cost, device = Cost(), pick_device()
    check_launch()
    if device.name == "cpu":
        use_one_thread()
    for package in config.report_to:
        if find_spec(package) is None:
            raise BackendMissing(f"report_to wants {package}; pip install {package}")
    # TRL tells its makers of every training; it is nobody's business.
    hub.HF_HUB_DISABLE_TELEMETRY = True
    parent = _parent(config)
    reward = Path(config.grpo.reward or "") if config.method == "grpo" else None
    if reward is not None:
        open_trusted(reward)  # raises where it is not there, or not to be trusted
    rows, _ = read_dataset(dataset)
    state = PartialState(cpu=device.name == "cpu")
    needs = needs_of(config, rows, device, processes=state.num_processes, parent=parent)
    if told is not None and state.is_main_process:
        told(needs)
    check_fits(needs)
    this = _Run(
        config=config,
        dataset_sha256=files_hash([dataset / CARD, *(rows_file(dataset, name) for name in ROWS)]),
        parent_sha256=files_hash([parent / WEIGHTS]) if parent else None,
        processes=state.num_processes,
        reward_sha256=_hash_of(reward) if reward else None,
    )
    if before is not None:
        _same(this, before)
    checkpoints = out / "checkpoints"
    with state.main_process_first():
        _claim(out, checkpoints, this)

    def job_of(stage: str, base: Base) -> TrainingJob:
        folder = checkpoints / stage
        return TrainingJob(stage, config, rows, base, device, folder, progress, stop)

    with warnings.catch_warnings():
        # peft asks for a property by the name that transformers is about to drop.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        # A prefix is not named by its adapter's name, so the copy to compare with is safe.
        warnings.filterwarnings("ignore", "Adapter name 'ref' should not be contained", UserWarning)
        base, trained = _stages(config, device, checkpoints, job_of, parent, before)
    made = _manifest(checkpoints, this, device, base, trained, cost)
    state.wait_for_everyone()
    if state.is_main_process:
        _publish(made, out, checkpoints)
    state.wait_for_everyone()
    return made


def _manifest(
    checkpoints: Path,
    this: _Run,
    device: Device,
    base: Base,
    trained: dict[str, StageResult],
    cost: Cost,
) -> Manifest:
    last = _done(checkpoints, _stages_of(this.config)[-1])
    return Manifest(
        config=this.config,
        base_sha256=base.sha256,
        parent_sha256=this.parent_sha256,
        reward_sha256=this.reward_sha256,
        dataset_sha256=this.dataset_sha256,
        rows={name: count for each in trained.values() for name, count in each.rows.items()},
        versions=installed_versions(),
        device=device.name,
        dtype=str(base.model.get_base_model().dtype).removeprefix("torch."),
        processes=this.processes,
        steps=[step for each in trained.values() for step in each.steps],
        metrics={
            f"{stage}/{name}": value
            for stage, each in trained.items()
            for name, value in each.metrics.items()
        },
        **cost.figures(),
        adapter_sha256=files_hash([last / WEIGHTS]),
    )


def _publish(made: Manifest, out: Path, checkpoints: Path) -> None:
    """Puts the last stage's adapter into `out`, then the manifest, and clears up."""
    stages = _stages_of(made.config)
    shutil.rmtree(out / ADAPTER, ignore_errors=True)
    shutil.copytree(_done(checkpoints, stages[-1]), out / ADAPTER)
    for stage in stages:
        logs = checkpoints / stage / "runs"
        if logs.exists():
            shutil.copytree(logs, out / "logs" / stage, dirs_exist_ok=True)
    # A folder with a manifest holds a finished run.
    _write(out / MANIFEST, msgspec.json.format(msgspec.json.encode(made), indent=1))
    shutil.rmtree(checkpoints)


def _parent(config: FinetuneConfig) -> Path | None:
    """Returns the adapter that is gone on from; raises where the configuration cannot be."""
    adapter, settings = config.adapter, config.grpo
    if config.method == "kto" and config.batch < 2:
        raise TrainingConfigError(
            f"batch: is {config.batch}; expected 2 or more, since kto holds each text against "
            "another one of its batch (accumulate does not count)"
        )
    if config.parent is not None and adapter is not None:
        raise TrainingError(
            "adapter is of no use beside parent, whose adapter keeps its shape; leave one out"
        )
    if config.method == "reward" and config.parent is not None:
        raise TrainingConfigError(
            "parent: an adapter that writes is no beginning of one that scores; leave it out"
        )
    if config.method == "reward" and adapter is not None and adapter.kind != "lora":
        raise TrainingConfigError(
            f"adapter.kind: is {adapter.kind}; expected lora, which the head goes with"
        )
    parent = parent_adapter(config)
    check_adapter(config, parent)
    if config.method == "grpo" and settings.reward is None:
        raise TrainingConfigError(
            "grpo.reward: is missing; expected what copyloop generator reward-model wrote"
        )
    if config.method == "grpo" and (config.batch * config.accumulate) % settings.group:
        raise TrainingConfigError(
            f"grpo.group: is {settings.group}; expected a divisor of batch x accumulate, "
            f"{config.batch * config.accumulate}, so that no group is split between processes"
        )
    return parent


def _hash_of(path: Path) -> str:
    return files_hash([path / MANIFEST, path / ADAPTER / WEIGHTS] if path.is_dir() else [path])


def _same(this: _Run, before: Manifest) -> None:
    """Raises where what is repeated is not there any more; the model is compared once loaded."""
    for name in ("dataset_sha256", "parent_sha256", "reward_sha256"):
        now, then = getattr(this, name), getattr(before, name)
        if now != then:
            raise TrainingError(
                f"{name} is {now}, and was {then}: the run cannot be repeated with other data"
            )


def _claim(out: Path, checkpoints: Path, this: _Run) -> None:
    """Takes the folder for this training, which may have begun in it."""
    if (out / MANIFEST).exists():
        raise TrainingError(f"{out} holds a finished training already; give another folder")
    mark = checkpoints / RUN
    if mark.exists():
        try:
            begun = msgspec.json.decode(mark.read_bytes(), type=_Run)
        except msgspec.MsgspecError:
            begun = None
        if begun != this:
            raise TrainingError(
                f"{checkpoints} is of another training (other configuration, dataset, parent or "
                "number of processes); give another folder, or remove it"
            )
        return
    if out.exists() and any(path.name != "checkpoints" for path in out.iterdir()):
        raise TrainingError(f"{out} holds other files; give an empty folder or a new one")
    _write(mark, msgspec.json.encode(this))


def _stages(
    config: FinetuneConfig,
    device: Device,
    checkpoints: Path,
    job_of: Callable[[str, Base], TrainingJob],
    parent: Path | None,
    before: Manifest | None,
) -> tuple[Base, dict[str, StageResult]]:
    """Returns the model after the last stage, and what each did; what is done has its figures."""
    trained: dict[str, StageResult] = {}
    state = PartialState()
    for stage in _stages_of(config):
        # Trainers leave a model altered.
        base = load_base(config, device, parent=parent)
        if before is not None and base.sha256 != before.base_sha256:
            raise TrainingError(
                f"the model's weights changed since: {base.sha256}, and was {before.base_sha256}"
            )
        done = _done(checkpoints, stage)
        figures = done.with_suffix(".json")
        if not figures.exists():
            found = TRAIN[stage](job_of(stage, base))
            if state.is_main_process:
                _keep(base.model, found, done, config.model)
            state.wait_for_everyone()
        trained[stage] = msgspec.json.decode(figures.read_bytes(), type=StageResult)
        parent = done
    return base, trained


def _write(path: Path, data: bytes) -> None:
    # The weights beside it are written by others, who go by the umask.
    write_whole(path, data, mode=BY_UMASK)


def _done(checkpoints: Path, stage: str) -> Path:
    return checkpoints / f"{stage}-adapter"


def _keep(model: Any, trained: StageResult, folder: Path, name: str) -> None:
    """Keeps a stage's adapter, then its figures, whose file says that the stage is done."""
    shutil.rmtree(folder, ignore_errors=True)
    save_adapter(model, folder)
    # A path on this machine would be of no use to whoever gets the adapter.
    shape = msgspec.json.decode((folder / SHAPE).read_bytes()) | {"base_model_name_or_path": name}
    _write(folder / SHAPE, msgspec.json.format(msgspec.json.encode(shape), indent=1))
    # peft adds an empty form for a description.
    (folder / "README.md").unlink(missing_ok=True)
    _write(folder.with_suffix(".json"), msgspec.json.encode(trained))
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
