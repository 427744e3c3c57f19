import Attention
import Devices
import Tensors

/// The keys and values of every layer in pages on a GPU: [page, head, token, dimension].
struct CUDAPool {
  /// The layers' pages.
  let layers: [CUDAPagedKV]
  private let memory: [CUDABuffer]
  private let scales: CUDABuffer
  /// The bytes of a page's keys, which are those of its values.
  private let halfPage: Int

  /// A pool, whose pages hold nothing.
  init(_ configuration: ModelConfiguration, _ options: BatchRunner.Options, on device: CUDADevice)
    throws
  {
    let (heads, size) = (configuration.kvHeadCount, options.pageSize)
    let head = size * configuration.headDimension
    halfPage =
      Self.pageByteCount(configuration, kvType: options.kvType, pageSize: size) / 2
    let half = options.pageCount * halfPage
    let scales = try device.buffer(of: [Float](repeating: 1, count: heads))
    func pages(_ base: CUDAAddress) -> CUDAOperators.Pages {
      CUDAOperators.Pages(
        base, page: heads * head, head: head, token: configuration.headDimension,
        scales: scales.address)
    }
    memory = try (0..<configuration.layerCount).map { _ in
      try device.context.allocate(bytes: 2 * half)
    }
    layers = memory.map {
      CUDAPagedKV(
        keys: pages($0.address), values: pages($0.address.advanced(by: half)),
        pageCount: options.pageCount)
    }
    self.scales = scales
  }

  /// The bytes of a page of one layer.
  static func pageByteCount(
    _ configuration: ModelConfiguration, kvType: ElementType, pageSize: Int
  ) -> Int {
    2 * configuration.kvHeadCount * pageSize * configuration.headDimension * kvType.blockBytes
  }

  /// Copies a page of every layer into another.
  func copyPage(_ source: Int, to target: Int, on stream: CUDAStream) throws(CUDAFailure) {
    for layer in layers {
      for base in [layer.keys.base, layer.values.base] {
        try stream.copy(
          base.advanced(by: source * halfPage), to: base.advanced(by: target * halfPage),
          bytes: halfPage)
      }
    }
  }
}
