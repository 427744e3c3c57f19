import Attention
import Devices
import Tensors

/// A case's text for one architecture, and what must be found in its code.
struct KernelText {
  let name: String
  let architecture: CUDAArchitecture
  /// The text, or why there is none.
  let source: Result<CUDASource, any Error>
  /// Whether the case says that it has no kernel for the architecture.
  var isDeclaredUnsupported = false
  /// The instructions that the kernel is written for.
  var expected: [String] = []

  /// The texts of all cases whose name contains a filter.
  static func all(_ filter: String) throws -> [KernelText] {
    let device = try CPUDevice(threads: 1)
    var texts: [KernelText] = []
    func isWanted(_ name: String) -> Bool { filter.isEmpty || name.contains(filter) }
    for kernelCase in KernelCase.all where isWanted(kernelCase.name) {
      let plan = try KernelCase.Material(kernelCase, device).plan
      for architecture in CUDAArchitecture.allCases {
        let source = Result {
          try plan.cudaKernel(
            queryType: kernelCase.queryType, storedType: kernelCase.storedType,
            tile: kernelCase.tile, architecture: architecture
          ).source
        }
        texts.append(
          KernelText(
            name: kernelCase.name, architecture: architecture, source: source,
            isDeclaredUnsupported: !kernelCase.supports(architecture),
            expected: kernelCase.expectedInstructions))
      }
    }
    for operatorCase in OperatorCase.all where isWanted(operatorCase.name) {
      for architecture in CUDAArchitecture.allCases {
        texts.append(
          KernelText(
            name: operatorCase.name, architecture: architecture,
            source: Result { try operatorCase.operators(architecture).source }))
      }
    }
    return texts
  }
}

extension KernelCase {
  /// Whether there is a kernel: warp groups are sm_90a's.
  func supports(_ architecture: CUDAArchitecture) -> Bool {
    if case .warpGroups = tile { architecture == .sm90a } else { true }
  }

  /// The instructions that a kernel is written for.
  ///
  /// What is stored in 8 bits or goes through a functor comes through registers.
  var expectedInstructions: [String] {
    let isCopied =
      storedType.blockBytes > 1
      && !variant.functors.contains { $0.kind == .key || $0.kind == .value }
    return switch tile {
    case .cores: []
    case .tensor: isCopied ? ["HMMA", "LDGSTS"] : ["HMMA"]
    case .warpGroups(_, let usesTMA): usesTMA ? ["HGMMA", "UTMALDG"] : ["HGMMA"]
    }
  }
}
