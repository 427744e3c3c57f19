import ArgumentParser
import Devices
import Inference
import LanguageModels
import ModelStore
import Tensors

/// Which model runs, and on what.
struct ModelOptions: ParsableArguments {
  @Option(
    name: [.long, .short],
    help: ArgumentHelp(
      "A known name (see `attn doctor`), a GGUF file, a folder, or a hub's ORG/REPO[:FILE].",
      valueName: "path|name"))
  var model: String?

  @OptionGroup var place: ThreadOptions

  @Option(help: "Tokens that fit into the cache (default: what the model was trained for).")
  var context: Int?

  @Option(
    help: ArgumentHelp(
      "What runs the model: cpu, cuda (a GPU of NVIDIA's) or cuda:N for the one of that number; auto is "
        + "a GPU where there is one with all that it takes.", valueName: "auto|cpu|cuda[:N]"))
  var device = DeviceChoice.automatic

  @Option(help: "The cache's element type: f32, f16 or bf16 (default: f16, on a GPU bf16).")
  var kvType: KVType?

  @Option(
    help: ArgumentHelp(
      "How linear layers treat activations: exact keeps 32-bit floats, fast rounds them to what the "
        + "processor multiplies fastest."))
  var precision = PrecisionName.fast

  @OptionGroup var ranks: RankOptions

  enum KVType: String, CaseIterable, ExpressibleByArgument {
    case f32
    case f16
    case bf16

    var elementType: ElementType {
      switch self {
      case .f32: .float32
      case .f16: .float16
      case .bf16: .bfloat16
      }
    }
  }
}

/// Linear layers' precision as an argument.
enum PrecisionName: String, CaseIterable, Encodable, ExpressibleByArgument {
  case exact
  case fast

  var linear: LinearPrecision {
    switch self {
    case .exact: .exact
    case .fast: .fast
    }
  }
}
