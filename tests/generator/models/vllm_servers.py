"""Servers of vLLM's: a real one, and one that answers as the real one does (vLLM 0.32)."""

import contextlib
import hashlib
import json
import os
import subprocess
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import torch
from safetensors.torch import save_file

from generator.models.opening import CACHE, packaged_model
from tests.generator.models.conftest import wait_until_healthy
from tests.running import free_port

BASE = "smollm2"
MOST_RANK = 16
START_SECONDS = 900
INSTALLED = Path(__file__).parents[3] / ".vllm" / "bin" / "python"
LAYERS, HIDDEN, VALUES = 30, 576, 192


def real_vllm():
    """Returns the Python of an installed vLLM: of make vllm, or what COPYLOOP_VLLM names."""
    named = os.environ.get("COPYLOOP_VLLM", str(INSTALLED))
    return named if Path(named).exists() else None


def write_adapter(folder, *, rank=4, kind="LORA", seed=1):
    """Writes a LoRA adapter of SmolLM2 with random weights, large enough to change its texts."""
    folder.mkdir(parents=True)
    shape = {
        "peft_type": kind,
        "r": rank,
        "lora_alpha": 2 * rank,
        "target_modules": ["q_proj", "v_proj"],
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": BASE,
    }
    (folder / "adapter_config.json").write_text(json.dumps(shape))
    drawn = torch.Generator().manual_seed(seed)
    weights = {}
    for layer in range(LAYERS):
        for name, rows in (("q_proj", HIDDEN), ("v_proj", VALUES)):
            of = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            weights[f"{of}.lora_A.weight"] = torch.randn(rank, HIDDEN, generator=drawn) * 0.1
            weights[f"{of}.lora_B.weight"] = torch.randn(rows, rank, generator=drawn) * 0.1
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder


class Vllm:
    """A real server with SmolLM2, which may be started again on its port."""

    def __init__(self, folder, *, updating=True):
        self._port, self._log, self._updating = free_port(), folder / "vllm.log", updating
        self.url = f"http://127.0.0.1:{self._port}/v1"
        self._start()

    @property
    def pid(self):
        return self._process.pid

    def restart(self):
        self.stop()
        self._start()

    def stop(self):
        self._process.terminate()
        self._process.wait()

    def adapters(self):
        """Returns the names that it answers to, but for the model's own."""
        with urllib.request.urlopen(f"{self.url}/models") as found:
            return {each["id"] for each in json.load(found)["data"]} - {BASE}

    def _start(self):
        command = [real_vllm(), "-m", "vllm.entrypoints.openai.api_server"]
        command += ["--model", str(packaged_model(CACHE)), "--served-model-name", BASE]
        command += ["--enable-lora", "--max-lora-rank", str(MOST_RANK), "--max-model-len", "1024"]
        command += ["--enforce-eager", "--dtype", "bfloat16"]
        command += ["--host", "127.0.0.1", "--port", str(self._port)]
        environment = {
            **os.environ,
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": str(self._updating),
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
        }
        environment.pop("PYTHONPATH", None)
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, env=environment, cwd=self._log.parent
            )
        try:
            health = f"http://127.0.0.1:{self._port}/health"
            wait_until_healthy(health, self._process, self._log, seconds=START_SECONDS)
        except BaseException:
            self.stop()
            raise


class StandIn:
    """Answers as a real server does, with texts of its own, and forgets as it does.

    `asked` are its requests, as (path, body). `updating` is VLLM_ALLOW_RUNTIME_LORA_UPDATING.
    """

    def __init__(self, *, updating=True):
        self.asked, self._loaded, self._updating = [], {}, updating
        self._lock = threading.Lock()

    def restart(self):
        self._loaded = {}

    def adapters(self):
        return set(self._loaded)

    @contextlib.contextmanager
    def running(self):
        standin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *words):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with standin._lock:
                    standin.asked.append((self.path, body))
                    status, said = standin._answer(self.path, body)
                data = said.encode() if isinstance(said, str) else json.dumps(said).encode()
                self.send_response(status)
                if not isinstance(said, str):
                    self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}/v1"
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def _answer(self, path, body):
        if path == "/v1/load_lora_adapter" and self._updating:
            return self._load(body["lora_name"], body["lora_path"])
        if path not in ("/v1/completions", "/v1/chat/completions"):
            return 404, {"detail": "Not Found"}
        if body["model"] not in {BASE, *self._loaded}:
            named = ", ".join((BASE, *self._loaded))
            said = f"The model `{body['model']}` does not exist. Valid aliases: {named}."
            return _error(404, "NotFoundError", said, param="model")
        if path == "/v1/completions":
            return 200, self._completion(body)
        return 200, self._chat(body)

    def _load(self, name, path):
        if name == BASE:
            said = f"The lora adapter '{name}' conflicts with a served base model."
            return _error(400, "InvalidUserInput", said)
        if name in self._loaded:
            said = (
                f"The lora adapter '{name}' has already been loaded. If you want to load the "
                "adapter in place, set 'load_inplace' to True."
            )
            return _error(400, "InvalidUserInput", said)
        shape = Path(path) / "adapter_config.json"
        if not Path(path).is_absolute() or not shape.is_file():
            # a server runs in a folder of its own
            said = f"Loading lora {name} failed: No adapter found for {path}"
            return _error(404, "NotFoundError", said)
        rank = json.loads(shape.read_text()).get("r", 8)
        if rank > MOST_RANK:
            said = (
                f"Call to add_lora method failed: Worker failed with error 'LoRA rank {rank} is "
                f"greater than max_lora_rank {MOST_RANK}.', please check the stack trace above for "
                "the root cause"
            )
            return _error(500, "InternalServerError", said)
        self._loaded[name] = path
        return 200, f"Success: LoRA adapter '{name}' added successfully."

    def _completion(self, body):
        text = _words(self._writer(body), body["prompt"], body["seed"], body["max_tokens"])
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": "length"}
        return _answered("text_completion", body, choice, body["prompt"], text)

    def _chat(self, body):
        told = body["messages"][-1]["content"]
        texts = [_words(self._writer(body), told, f"{body['seed']}/{n}", 5) for n in range(8)]
        text = json.dumps({"texts": texts}) if "response_format" in body else texts[0]
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return _answered("chat.completion", body, choice, told, text)

    def _writer(self, body):
        """Returns who writes: what an adapter's weights are, and not what it is called."""
        folder = self._loaded.get(body["model"])
        if folder is None:
            return body["model"]
        weights = Path(folder) / "adapter_model.safetensors"
        return hashlib.sha256(weights.read_bytes() if weights.exists() else b"").hexdigest()


def _words(writer, prompt, seed, n):
    known = ("calm", "warm", "slow", "bright", "tea", "kettle", "morning", "quiet", "leaf", "cup")
    digest = hashlib.sha256(f"{writer}/{prompt}/{seed}".encode()).digest()
    return "".join(f" {known[byte % len(known)]}" for byte in digest[: min(n, 12)])


def _answered(kind, body, choice, prompt, text):
    read, wrote = len(prompt.split()), len(text.split())
    usage = {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}
    return {
        "id": "x",
        "object": kind,
        "created": 1,
        "model": body["model"],
        "choices": [choice],
        "usage": usage,
    }


def _error(status, kind, said, *, param=None):
    return status, {"error": {"message": said, "type": kind, "param": param, "code": status}}
