public import Tensors

/// The kernels of a family of operators for one type of activations, as text for NVRTC.
///
/// They mean what the operators of ``CPUDevice`` of the same names mean. Blocks take rows in turns, so
/// that a grid of any size does all of them. A function of a family makes the launch of each kernel.
public struct CUDAOperators: Sendable, Hashable {
  /// Operators that share a text.
  public enum Family: String, Sendable, Hashable, CaseIterable {
    /// RMSNorm, RMSNorm of a sum, LayerNorm.
    case norm
    /// Sums of rows, and of rows with a bias.
    case sums
    /// Rotary embedding.
    case rotary
    /// SiLU and GELU, gated and plain.
    case activation
    /// A table's rows, dequantised.
    case rows
    /// Softmax of rows.
    case softmax
    /// Draws from logits and from probabilities.
    case sampling
    /// Merging attention states.
    case states
    /// Appending keys and values to pages.
    case pages
    /// Packing truth values into bits.
    case bits
  }

  /// Which operators.
  public let family: Family
  /// Of activations: `.float32`, `.bfloat16` or `.float16`.
  public let type: ElementType
  /// Of a table's rows, of pages, or of the sums that layers add to (the residual stream).
  public let storedType: ElementType
  /// What the text is compiled for.
  public let architecture: CUDAArchitecture

  /// Why there are no such kernels.
  public struct Unsupported: Error, Hashable, CustomStringConvertible {
    /// The operators.
    public let family: Family
    /// What activations should be.
    public let type: ElementType
    /// What is stored.
    public let storedType: ElementType

    /// What was asked for.
    public var description: String {
      "CUDA operators (\(family.rawValue)): no kernel for activations in \(type.rawValue) and "
        + "\(storedType.rawValue) in memory"
    }
  }

  /// Kernels.
  ///
  /// - Parameter storedType: By default that of activations; rows, pages and what is added to may differ.
  public init(
    _ family: Family, type: ElementType, storedType: ElementType? = nil,
    architecture: CUDAArchitecture
  ) throws(Unsupported) {
    self.family = family
    self.type = type
    self.storedType = storedType ?? type
    self.architecture = architecture
    let activations: [ElementType] = [.float32, .bfloat16, .float16]
    let stored =
      switch family {
      case .rows: Self.rowTypes
      case .pages: activations + [.float8E4M3, .float8E5M2, .int8]
      case .norm, .sums: [type, .float32]
      default: [type]
      }
    guard activations.contains(type), stored.contains(self.storedType) else {
      throw Unsupported(family: family, type: type, storedType: self.storedType)
    }
  }

  /// Threads of a block of every operator.
  package static let threads = 256
  /// Shared memory of a block: room for a word and a half of every thread of four.
  package static let sharedBytes = 8192

  /// The text, and how its kernels are launched.
  public var source: CUDASource {
    let (functions, entryPoints): ([String], [String]) =
      switch family {
      case .norm:
        (
          Self.reductions + [stored, rmsNorm, addRMSNorm, layerNorm],
          ["rms_norm", "add_rms_norm", "layer_norm"]
        )
      case .sums: ([stored, sums], ["add", "add_bias"])
      case .rotary: ([rotate], ["rotate"])
      case .activation: activations
      case .rows: ([decoding, gather], ["gather"])
      case .softmax: (Self.reductions + [softmax], ["softmax"])
      case .sampling:
        (Self.reductions + [philox, drawing, sample], ["sample_logits", "sample_probabilities"])
      case .states: ([mergeStates], ["merge_state", "merge_states"])
      case .pages:
        ([CUDAText.element(storedType, named: "Stored", isStored: true), append], ["append"])
      case .bits: ([packBits], ["pack_bits"])
      }
    let head = [
      "#ifndef ATTENTION_EMULATION\n\(CUDAText.instructions)\n#endif", CUDAText.numbers,
      CUDAText.element(type, named: "Element", isStored: true),
    ]
    let suffix = storedType == type ? "" : "-\(storedType.rawValue)"
    return CUDASource(
      name: "\(family.rawValue)-\(type.rawValue)\(suffix)",
      text: (head + functions).joined(separator: "\n\n") + "\n", architecture: architecture,
      entryPoints: entryPoints, dynamicSharedBytes: Self.sharedBytes, threads: Self.threads)
  }

  /// The stored type where it may be that of activations.
  private var stored: String {
    storedType == type
      ? "typedef Element Stored;"
      : CUDAText.element(storedType, named: "Stored", isStored: true)
  }

  /// The head of a kernel.
  func kernel(_ name: String, _ parameters: String) -> String {
    """
    extern "C" __global__ void __launch_bounds__(\(Self.threads)) \(name)(
        \(parameters.indented(by: 4)))
    """
  }

  /// As many blocks as there is work for, at most eight for each multiprocessor of a large device.
  static func blocks(_ items: Int) -> Int { min(max(items, 1), 1056) }

  /// The blocks of a kernel whose threads take single elements.
  static func blocks(elements: Int) -> Int { blocks((elements + threads - 1) / threads) }

  /// Sums and maxima over a block, for all its threads; `memory` has a word for each warp.
  static var reductions: [String] {
    func reduction(
      _ type: String, _ name: String, _ first: String, _ join: (String, String) -> String
    )
      -> String
    {
      """
      __device__ inline \(type) \(name)(\(type) x, void* memory) {
        \(type)* parts = (\(type)*)memory;
        for (int distance = 16; distance > 0; distance /= 2)
          x = \(join("x", "__shfl_xor_sync(0xffffffffu, x, distance)"));
        __syncthreads();
        if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
        __syncthreads();
        x = \(first);
        for (int w = 0; w < \(threads / 32); ++w) x = \(join("x", "parts[w]"));
        return x;
      }
      """
    }
    return [
      reduction("float", "block_sum", "0.f") { "\($0) + \($1)" },
      reduction("float", "block_largest", "-infinity()") { "fmaxf(\($0), \($1))" },
    ]
  }
}
