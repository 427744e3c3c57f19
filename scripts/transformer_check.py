#!/usr/bin/env python3
"""Logits, gradients and 200 steps of training by PyTorch, as files that the Swift tests read.

Each case is one safetensors file: weights `w.*`, a batch of token ids, logits of its real target
tokens, gradients `g.*` of the mean loss (computed in 64-bit floats), and the losses of 200 steps of
Adam over the case's batches. Where heads fill the model's width, the plain model is first compared
with PyTorch's own `nn.TransformerEncoderLayer` and `nn.TransformerDecoderLayer`.

  python3 scripts/transformer_check.py [--out FOLDER]
  python3 scripts/transformer_check.py --load MODEL.safetensors

The second form loads weights that `attn train` wrote into the PyTorch model, strictly, and says how
many parameters it took. Needs `pip install torch safetensors numpy`.
"""

import argparse
import json
import pathlib
import random

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import transformer_torch as tt

FOLDER = pathlib.Path(__file__).parent.parent / "Tests/TransformerTests/Fixtures"

BASE = dict(layers=2, modelDimension=24, feedForwardDimension=40, heads=3, keyDimension=8,
            valueDimension=8, dropout=0.0, labelSmoothing=0.1, positions="sinusoidal",
            normalization="post", maximumPositions=24, vocabularySize=37)
CASES = {
    "post": BASE,
    "pre": dict(BASE, normalization="pre", positions="learned", labelSmoothing=0.0),
    "narrow": dict(BASE, layers=1, heads=5, keyDimension=3, valueDimension=7,
                   feedForwardDimension=17, labelSmoothing=0.2),
}
STEPS, BATCHES, RATE = 200, 3, 3e-4


def pairs(generator, vocabulary, count):
    def sentence(low, high):
        return [generator.randrange(3, vocabulary) for _ in range(generator.randint(low, high))]
    return [(sentence(1, 11), sentence(0, 9)) for _ in range(count)]


def against_own_layers(model, c, source, lengths, target):
    """The plain model's logits against those of nn.Transformer's layers."""
    if c["heads"] * c["keyDimension"] != c["modelDimension"]:
        return
    facts = dict(d_model=c["modelDimension"], nhead=c["heads"], dropout=0.0, batch_first=True,
                 dim_feedforward=c["feedForwardDimension"], norm_first=c["normalization"] == "pre")
    state = model.state_dict()

    def load(layer, prefix):
        layer.load_state_dict(
            {k[len(prefix):]: v for k, v in state.items() if k.startswith(prefix)})
        return layer.double()

    x = model.embed(model.encoder, source)
    padding = torch.arange(source.shape[1]) >= lengths[:, None]
    for i in range(c["layers"]):
        layer = load(nn.TransformerEncoderLayer(**facts), f"encoder.layers.{i}.")
        x = layer(x, src_key_padding_mask=padding)
    memory = model.encoder.norm(x) if model.encoder.norm else x
    y = model.embed(model.decoder, target)
    causal = torch.triu(torch.full((target.shape[1],) * 2, True), 1)
    for i in range(c["layers"]):
        layer = load(nn.TransformerDecoderLayer(**facts), f"decoder.layers.{i}.")
        y = layer(y, memory, tgt_mask=causal, memory_key_padding_mask=padding)
    y = model.decoder.norm(y) if model.decoder.norm else y
    theirs = y @ model.embedding.weight.T
    assert (theirs - model(source, lengths, target)).abs().max() < 1e-10


def case(name, c, folder):
    torch.manual_seed(7)
    generator = random.Random(name)
    batches = [pairs(generator, c["vocabularySize"], 7) for _ in range(BATCHES)]
    model = tt.Transformer(c).float()
    tensors = {f"w.{k}": v.clone() for k, v in model.state_dict().items()}
    source, lengths, target, labels = tt.batch(batches[0])
    exact = tt.Transformer(c).double()
    exact.load_state_dict(model.state_dict())
    logits = exact(source, lengths, target)
    against_own_layers(exact, c, source, lengths, target)
    tt.loss(logits, labels, c["labelSmoothing"]).backward()
    tensors["logits"] = logits[labels >= 0].detach().float()
    for k, p in exact.named_parameters():
        tensors[f"g.{k}"] = p.grad.float()
    for i, batch in enumerate(batches):
        for side, sentences in (("source", [s for s, _ in batch]), ("target", [t for _, t in batch])):
            tensors[f"batch.{i}.{side}.lengths"] = torch.tensor(
                [len(s) for s in sentences], dtype=torch.int32)
            tensors[f"batch.{i}.{side}.tokens"] = torch.tensor(sum(sentences, []), dtype=torch.int32)
    adam = torch.optim.Adam(model.parameters(), lr=RATE, betas=(0.9, 0.98), eps=1e-9)
    losses = []
    for step in range(STEPS):
        source, lengths, target, labels = tt.batch(batches[step % BATCHES])
        value = tt.loss(model(source, lengths, target), labels, c["labelSmoothing"])
        adam.zero_grad()
        value.backward()
        adam.step()
        losses.append(value.item())
    tensors["losses"] = torch.tensor(losses)
    path = folder / f"transformer-{name}.safetensors"
    save_file({k: v.contiguous() for k, v in tensors.items()}, path,
              metadata={"transformer": json.dumps(c, sort_keys=True), "rate": str(RATE),
                        "torch": torch.__version__})
    print(f"{path}: {path.stat().st_size} bytes, loss {losses[0]:.4f} to {losses[-1]:.4f}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=FOLDER, help="where fixtures go")
    parser.add_argument("--load", type=pathlib.Path, help="a model of `attn train` to load")
    options = parser.parse_args()
    if options.load:
        with safe_open(options.load, "pt") as file:
            c = json.loads(file.metadata()["transformer"])
        state = {k: v for k, v in load_file(options.load).items() if not k.startswith("optimizer.")}
        tt.Transformer(c).load_state_dict(state, strict=True)
        print(f"{options.load}: {sum(v.numel() for v in state.values())} parameters")
        return
    options.out.mkdir(parents=True, exist_ok=True)
    for name, c in CASES.items():
        case(name, c, options.out)


if __name__ == "__main__":
    main()
