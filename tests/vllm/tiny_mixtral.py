"""Writes a tiny Mixtral with random weights: the architecture of the real one, 2 layers, 4 experts, bytes as tokens.

Run by the Python of a vLLM environment, which has the libraries: `python tiny_mixtral.py FOLDER`.
"""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

SPECIAL = ("<s>", "</s>", "<|user|>", "<|assistant|>")
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ 'assistant' if m.role == 'assistant' else 'user' }}|>"
    "{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
HIDDEN, INNER, HEADS, KV_HEADS, LAYERS, EXPERTS = 128, 256, 4, 2, 2, 4


def config(vocabulary: int) -> dict:
    return {
        "architectures": ["MixtralForCausalLM"],
        "model_type": "mixtral",
        "bos_token_id": vocabulary - len(SPECIAL),
        "eos_token_id": vocabulary - len(SPECIAL) + 1,
        "vocab_size": vocabulary,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "num_local_experts": EXPERTS,
        "num_experts_per_tok": 2,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1000000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
    }


def weights(vocabulary: int) -> dict:
    """Write the weights with the names and layout of Mistral's own checkpoint."""
    random = np.random.default_rng(7)

    def matrix(*shape: int):
        return random.normal(0, 0.05, shape).astype(np.float32)

    ones = np.ones(HIDDEN, np.float32)
    kv = HIDDEN // HEADS * KV_HEADS
    all_ = {
        "model.embed_tokens.weight": matrix(vocabulary, HIDDEN),
        "model.norm.weight": ones,
        "lm_head.weight": matrix(vocabulary, HIDDEN),
    }
    for layer in range(LAYERS):
        start = f"model.layers.{layer}"
        all_ |= {
            f"{start}.input_layernorm.weight": ones,
            f"{start}.post_attention_layernorm.weight": ones,
            f"{start}.self_attn.q_proj.weight": matrix(HIDDEN, HIDDEN),
            f"{start}.self_attn.k_proj.weight": matrix(kv, HIDDEN),
            f"{start}.self_attn.v_proj.weight": matrix(kv, HIDDEN),
            f"{start}.self_attn.o_proj.weight": matrix(HIDDEN, HIDDEN),
            f"{start}.block_sparse_moe.gate.weight": matrix(EXPERTS, HIDDEN),
        }
        for expert in range(EXPERTS):
            inside = f"{start}.block_sparse_moe.experts.{expert}"
            all_[f"{inside}.w1.weight"] = matrix(INNER, HIDDEN)
            all_[f"{inside}.w2.weight"] = matrix(HIDDEN, INNER)
            all_[f"{inside}.w3.weight"] = matrix(INNER, HIDDEN)
    return all_


def tokenizer() -> Tokenizer:
    """A tokenizer in which every byte is a token, without merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={byte: n for n, byte in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(list(SPECIAL))
    return made


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokens = tokenizer()
    vocabulary = tokens.get_vocab_size()
    tokens.save(str(folder / "tokenizer.json"))
    about = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[0],
        "eos_token": SPECIAL[1],
        "model_max_length": 2048,
        "chat_template": TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    (folder / "config.json").write_text(json.dumps(config(vocabulary)))
    save_file(weights(vocabulary), folder / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
