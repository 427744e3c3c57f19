package import Devices
internal import Tensors

// What work costs a GPU's multiprocessor, from what the driver says of the device. None of it has been
// measured: the facts are the data sheets', and the shares of them that kernels reach are assumptions.
extension CostModel {
  /// The weights of a kernel on a device, in sixteenths of a nanosecond of one multiprocessor.
  ///
  /// Keys come at a multiprocessor's share of memory's bandwidth, a second time from the second cache; a
  /// pass's products take what its rows take on the tensor cores, whether there are so many or not.
  package init(_ device: CUDADriver.Device, _ kernel: CUDAAttentionKernel) {
    self.init()
    let facts = Facts(device, kernel.architecture)
    let (shape, rows) = (kernel.shape, kernel.rowsPerPass)
    let bytes =
      Double(shape.headDimension + shape.valueDimension)
      * Double(kernel.storedType.blockBytes)
    let rowBytes =
      Double(shape.headDimension + shape.valueDimension)
      * Double(kernel.queryType.blockBytes)
    let stateBytes = Double(shape.valueDimension + 1) * 4
    let operations = 2 * Double((shape.headDimension + shape.valueDimension) * rows)
    func units(_ seconds: Double) -> Int { max(Int((seconds * 16e9).rounded()), 1) }
    perKV = units(bytes / facts.memory)
    perCachedKV = min(perKV, units(bytes / facts.cache))
    perProduct = units(operations / facts.operations(kernel.tile))
    perScore = 0
    // Powers of two, all of them.
    passShift = rows.trailingZeroBitCount
    perRow = units(rowBytes / facts.memory)
    perTile = units(4 * Facts.latency)
    // Written once, read once.
    perState = units(2 * stateBytes / facts.memory)
    // All multiprocessors wait for the last, then read what it has written.
    perMerge = units(6 * Facts.latency) * device.multiprocessors
    perFork = 0
  }

  /// A multiprocessor's share of a device.
  private struct Facts {
    /// Bytes a second from memory and from the second cache.
    let memory, cache: Double
    private let clock: Double
    private let architecture: CUDAArchitecture

    /// Seconds from asking memory to having: what microbenchmarks of A100 and H100 report, about.
    static let latency = 600e-9

    init(_ device: CUDADriver.Device, _ architecture: CUDAArchitecture) {
      self.architecture = architecture
      // A driver that does not say stands for a device of its generation.
      let (usual, usualClock) =
        switch architecture {
        case .sm80: (14e9, 1.41e9)
        case .sm86: (8e9, 1.7e9)
        case .sm89: (6e9, 2.2e9)
        case .sm90a: (25e9, 1.75e9)
        case .sm100: (54e9, 1.85e9)
        }
      clock = device.clockRate > 0 ? device.clockRate : usualClock
      memory =
        device.memoryBandwidth > 0
        ? device.memoryBandwidth / Double(max(device.multiprocessors, 1)) : usual
      // 64 bytes a clock on paper; about this much where all multiprocessors read at a time.
      cache = 24 * clock
    }

    /// Operations a second: half of what an engine's instructions allow, since softmax stands between its
    /// products, and a quarter on CUDA cores, whose other instructions are three of four.
    func operations(_ tile: CUDAAttentionKernel.Tile) -> Double {
      switch tile {
      case .cores: 256 * clock / 4
      case .warpGroups: 4096 * clock / 2
      case .tensor: (architecture == .sm86 || architecture == .sm89 ? 1024 : 2048) * clock / 2
      }
    }
  }
}
