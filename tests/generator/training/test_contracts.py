"""What is relied on of TRL and peft as they are installed: a version that differs fails here."""

import inspect
import json

import pytest
import torch
from peft import AdaLoraConfig, LoraConfig, get_peft_model
from trl.trainer import kto_trainer, sft_trainer
from trl.trainer.kto_config import KTOConfig
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from generator.data.dataset import read_dataset
from generator.models.devices import Device
from generator.training.adapters import load_base, save_adapter
from generator.training.methods import train_kto, train_sft
from generator.training.rows import END, IGNORED, RowReader, batch_of, text_log_probs
from generator.training.running import TrainingJob
from tests.generator.models.conftest import byte_tokenizer, tiny_llama
from tests.generator.training.conftest import quick

CPU = Device("cpu", torch.float32)


def job(ground, folder, **changes):
    config = quick(ground, **changes)
    base = load_base(config, CPU, parent=None)
    return TrainingJob(config.method, config, read_dataset(ground.dataset)[0], base, CPU, folder,
                       None, None)  # fmt: skip


def seen_by(monkeypatch, trainer, method, made):
    """Returns the first batch that a trainer's loss was given."""
    found = []
    compute = getattr(trainer, method)

    def watching(self, model, inputs, *rest, **known):
        found.append({k: v.clone() if hasattr(v, "clone") else v for k, v in inputs.items()})
        return compute(self, model, inputs, *rest, **known)

    monkeypatch.setattr(trainer, method, watching)
    made()
    return found[0]


def test_sft_learns_the_text_alone_and_not_its_prompt_as_continued_pretraining_would(
    ground, tmp_path, monkeypatch
):
    work = job(ground, tmp_path, method="sft")
    batch = seen_by(monkeypatch, SFTTrainer, "compute_loss", lambda: train_sft(work))
    tokenizer = work.base.tokenizer
    for ids, labels, mask in zip(
        batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True
    ):
        taught = ids[labels != IGNORED]
        text = tokenizer.decode(taught)
        assert text.endswith(END), "what ends a text is taught"
        assert "Product:" not in text
        assert "\nHeadline" in tokenizer.decode(ids[labels == IGNORED])
        # nothing is learned of padding, and nothing is cut
        assert (labels[mask == 0] == IGNORED).all()
        assert mask.sum() == len(ids) - (ids == tokenizer.pad_token_id).sum()


def test_sft_s_loss_is_that_of_the_text_s_tokens(ground, tmp_path):
    """TRL's own mean over the labels that are not ignored, and no term beside it."""
    work = job(ground, tmp_path, method="sft")
    reader = RowReader(work.base.tokenizer, 512)
    rows = [reader.row('Product: tea\nHeadline: "', text) for text in ("Warm tea", "Your tea now")]
    batch = batch_of(rows, work.base.tokenizer.pad_token_id)
    model = work.base.model.eval()
    with torch.no_grad():
        told = model(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels
        )
        likely = torch.log_softmax(told.logits[:, :-1].float(), -1)
    kept = batch.labels[:, 1:] != IGNORED
    own = -likely.gather(-1, batch.input_ids[:, 1:, None])[..., 0][kept].mean()
    assert float(told.loss) == pytest.approx(float(own), rel=1e-5)


def test_the_sft_trainer_is_told_not_to_prepare_rows_nor_to_pack_or_cut_them():
    known = inspect.signature(SFTConfig).parameters
    assert {"dataset_kwargs", "max_length", "packing", "completion_only_loss"} <= set(known)
    assert SFTConfig.__dataclass_fields__["packing"].default is False
    assert "skip_prepare_dataset" in inspect.getsource(sft_trainer)


def test_kto_compares_with_the_adapter_it_began_with_and_ends_as_texts_do(
    ground, tmp_path, monkeypatch
):
    """The reference is the base with a copy of the adapter, which for a new one is the base."""
    work = job(ground, tmp_path, method="kto")
    trainer = kto_trainer.KTOTrainer
    found = []
    original = trainer.__init__

    def watching(self, *rest, **known):
        original(self, *rest, **known)
        found.append(self)

    monkeypatch.setattr(trainer, "__init__", watching)
    train_kto(work)
    [made] = found
    rows = made.train_dataset[0]
    tokens = [ids for name, ids in rows.items() if name.endswith("ids") and "KL" not in name]
    texts = [work.base.tokenizer.decode(ids) for ids in tokens]
    assert any(END in text for text in texts)
    assert made.args.max_length is None
    weights = {n: w for n, w in made.model.named_parameters() if "lora_B" in n}
    reference = [w for n, w in weights.items() if ".ref." in n]
    assert all(not w.requires_grad for w in reference)
    assert all(float(w.abs().max()) == 0.0 for w in reference), "B of a new adapter is 0"
    taught = [w for n, w in weights.items() if ".default." in n]
    assert any(float(w.detach().abs().max()) > 0.0 for w in taught)


def test_kto_still_wants_two_texts_a_batch(ground, tmp_path):
    work = job(ground, tmp_path, method="kto")._replace(config=quick(ground, method="kto", batch=1))
    with pytest.raises(ValueError, match="batch size"):
        train_kto(work)
    assert "beta" in inspect.signature(KTOConfig).parameters


def test_padding_is_on_the_left_and_changes_no_log_probability(ground):
    base = load_base(quick(ground, method="sft"), CPU, parent=None)
    reader, pad = RowReader(base.tokenizer, 512), base.tokenizer.pad_token_id
    short = reader.row('Product: tea\nHeadline: "', "Warm")
    long = reader.row('Product: a much longer thing\nHeadline: "', "Warm and much longer")
    model = base.model.eval()
    with torch.no_grad():
        alone, _ = text_log_probs(model, batch_of([short], pad))
        beside, _ = text_log_probs(model, batch_of([long, short], pad))
    assert float(alone[0]) == pytest.approx(float(beside[1]), abs=1e-4)


def test_peft_trains_the_adapter_alone_in_float32_and_starts_at_nothing():
    model = tiny_llama(byte_tokenizer())
    ids = torch.tensor([[1, 2, 3]])
    before = model(ids).logits.detach()
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"]))
    assert torch.equal(adapted(ids).logits.detach(), before)
    taught = {name for name, weights in adapted.named_parameters() if weights.requires_grad}
    assert taught
    assert all("lora_" in name for name in taught)


def test_adalora_begins_with_its_start_rank_and_what_is_saved_has_it(tmp_path):
    shape = AdaLoraConfig(init_r=6, target_r=4, total_step=10, target_modules=["q_proj"])
    adapted = get_peft_model(tiny_llama(byte_tokenizer()), shape)
    ranks = {w.shape[0] for n, w in adapted.named_parameters() if "lora_A" in n}
    assert ranks == {6}
    save_adapter(adapted, tmp_path)
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (saved["peft_type"], saved["r"]) == ("LORA", 6)
