#!/usr/bin/env python3
"""A model of `attn train` as a CTranslate2 model or a PyTorch state dict, and back.

  python3 scripts/transformer_export.py MODEL --ctranslate2 FOLDER
  python3 scripts/transformer_export.py MODEL --torch FILE.pt
  python3 scripts/transformer_export.py MODEL --from-torch FILE.pt

MODEL is the folder that `attn train` made. Weights are PyTorch's by name and shape
(`transformer_torch.py`), so the state dict is the file's tensors; the third form writes
`model.safetensors` of MODEL from a state dict of the same hyper-parameters. Needs `pip install
torch safetensors`, and ctranslate2 for the first form.
"""

import argparse
import json
import pathlib

import numpy
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file


def load(folder):
    path = folder / "model.safetensors"
    with safe_open(path, "pt") as file:
        c = json.loads(file.metadata()["transformer"])
    state = {k: v for k, v in load_file(path).items() if not k.startswith("optimizer.")}
    return c, state


def positions(c, state, stack):
    if c["positions"] == "learned":
        return state[f"{stack}.positions.weight"].float().numpy()
    d = c["modelDimension"]
    i = numpy.arange(d)
    angle = numpy.arange(c["maximumPositions"])[:, None] * 10000.0 ** (-(i - i % 2) / d)
    return numpy.where(i % 2 == 0, numpy.sin(angle), numpy.cos(angle)).astype(numpy.float32)


def to_ctranslate2(c, state, tokens, output):
    from ctranslate2.specs import TransformerSpec
    if c["keyDimension"] != c["valueDimension"] or \
            c["keyDimension"] * c["heads"] != c["modelDimension"]:
        raise SystemExit("CTranslate2 needs d_k = d_v = d_model / h")
    pre = c["normalization"] == "pre"
    spec = TransformerSpec.from_config(
        (c["layers"], c["layers"]), c["heads"], pre_norm=pre)
    weight = lambda name: state[name].float().numpy()

    def linear(target, name):
        target.weight, target.bias = weight(f"{name}.weight"), weight(f"{name}.bias")

    def norm(target, name):
        target.gamma, target.beta = weight(f"{name}.weight"), weight(f"{name}.bias")

    def attention(target, name, cross):
        w, b = weight(f"{name}.in_proj_weight"), weight(f"{name}.in_proj_bias")
        d = c["modelDimension"]
        parts = ((0, d), (d, 3 * d)) if cross else ((0, 3 * d),)
        for i, (first, end) in enumerate(parts):
            target.linear[i].weight, target.linear[i].bias = w[first:end], b[first:end]
        linear(target.linear[len(parts)], f"{name}.out_proj")

    for stack, target in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        embeddings = target.embeddings
        embeddings = embeddings[0] if isinstance(embeddings, list) else embeddings
        embeddings.weight = weight("embedding.weight")
        embeddings.multiply_by_sqrt_depth = True
        target.position_encodings.encodings = positions(c, state, stack)
        if pre:
            norm(target.layer_norm, f"{stack}.norm")
        for i, layer in enumerate(target.layer):
            name = f"{stack}.layers.{i}"
            attention(layer.self_attention, f"{name}.self_attn", False)
            norm(layer.self_attention.layer_norm, f"{name}.norm1")
            last = "norm2"
            if stack == "decoder":
                attention(layer.attention, f"{name}.multihead_attn", True)
                norm(layer.attention.layer_norm, f"{name}.norm2")
                last = "norm3"
            linear(layer.ffn.linear_0, f"{name}.linear1")
            linear(layer.ffn.linear_1, f"{name}.linear2")
            norm(layer.ffn.layer_norm, f"{name}.{last}")
    spec.decoder.scale_embeddings = True
    spec.decoder.projection.weight = weight("embedding.weight")
    spec.register_source_vocabulary(tokens)
    spec.register_target_vocabulary(tokens)
    spec.validate()
    output.mkdir(parents=True, exist_ok=True)
    spec.save(str(output))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--ctranslate2", type=pathlib.Path)
    parser.add_argument("--torch", type=pathlib.Path)
    parser.add_argument("--from-torch", type=pathlib.Path)
    options = parser.parse_args()
    c, state = load(options.model)
    if options.ctranslate2:
        tokens = (options.model / "vocabulary.txt").read_text().split("\n")[:-1]
        to_ctranslate2(c, state, tokens, options.ctranslate2)
    if options.torch:
        torch.save({k: v.float() for k, v in state.items()}, options.torch)
    if options.from_torch:
        new = torch.load(options.from_torch, weights_only=True)
        wrong = [k for k in state if k not in new or new[k].shape != state[k].shape]
        if wrong or set(new) - set(state):
            raise SystemExit(f"{options.from_torch}: not this model's: {wrong or set(new) - set(state)}")
        save_file({k: new[k].float().contiguous() for k in state},
                  options.model / "model.safetensors",
                  metadata={"format": "pt", "transformer": json.dumps(c, sort_keys=True)})


if __name__ == "__main__":
    main()
