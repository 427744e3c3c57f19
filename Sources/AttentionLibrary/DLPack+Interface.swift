public import CAttention

// DLPack in and out (`attention.h`).

/// See `attention.h`.
@c @implementation
public func attention_tensor_from_dlpack(
  _ managed: OpaquePointer!, _ tensor: UnsafeMutablePointer<attention_tensor>!
) -> attention_status {
  call {
    guard let managed, let tensor else { throw CallFailure("managed or tensor is NULL") }
    let source = UnsafePointer<attention_dl_managed>(managed).pointee.tensor
    guard source.device_type == DLPack.cpu else {
      throw CallFailure("DLPack tensor lies on device type \(source.device_type); expected the CPU")
    }
    guard
      let type = DLPack.types.first(where: { $0.code == source.code && $0.bits == source.bits }),
      source.lanes == 1
    else {
      throw CallFailure(
        "DLPack tensor has elements of code \(source.code) and \(source.bits) bits, which have no "
          + "element type")
    }
    let rank = Int(source.rank)
    guard (0...TensorArgument.maximumRank).contains(rank), rank == 0 || source.shape != nil else {
      throw CallFailure("DLPack tensor has rank \(rank); expected 0 to 6")
    }
    var result = attention_tensor()
    result.data = source.data.map { $0 + Int(source.byte_offset) }
    result.type = type.type
    result.rank = source.rank
    withUnsafeMutableBytes(of: &result.shape) { shape in
      withUnsafeMutableBytes(of: &result.strides) { strides in
        var dense: Int64 = 1
        for axis in (0..<rank).reversed() {
          let length = source.shape[axis]
          shape.storeBytes(of: length, toByteOffset: axis * 8, as: Int64.self)
          strides.storeBytes(
            of: source.strides?[axis] ?? dense, toByteOffset: axis * 8, as: Int64.self)
          dense = dense &* length
        }
      }
    }
    tensor.pointee = result
  }
}

/// See `attention.h`.
@c @implementation
public func attention_tensor_to_dlpack(
  _ tensor: UnsafePointer<attention_tensor>!,
  _ release: (@convention(c) (UnsafeMutableRawPointer?) -> Void)!,
  _ context: UnsafeMutableRawPointer!, _ managed: UnsafeMutablePointer<OpaquePointer?>!
) -> attention_status {
  call {
    let source = try TensorArgument(tensor, "tensor")
    guard let managed else { throw CallFailure("managed is NULL") }
    guard let type = DLPack.types.first(where: { $0.type == source.type.rawValue }) else {
      throw CallFailure("tensor: elements of type \(source.type) have no DLPack type")
    }
    let axes = UnsafeMutablePointer<Int64>.allocate(capacity: 2 * TensorArgument.maximumRank)
    for axis in 0..<source.rank {
      axes[axis] = Int64(source.length(axis))
      axes[TensorArgument.maximumRank + axis] = Int64(source.stride(axis))
    }
    let owner = DLPack.Owner(release: release, context: context, axes: axes)
    let result = UnsafeMutablePointer<attention_dl_managed>.allocate(capacity: 1)
    result.initialize(
      to: attention_dl_managed(
        tensor: attention_dl_tensor(
          data: source.base, device_type: DLPack.cpu, device_id: 0, rank: Int32(source.rank),
          code: type.code, bits: type.bits, lanes: 1, shape: axes,
          strides: axes + TensorArgument.maximumRank, byte_offset: 0),
        context: Unmanaged.passRetained(owner).toOpaque(),
        deleter: { managed in
          guard let managed else { return }
          if let context = managed.pointee.context {
            Unmanaged<DLPack.Owner>.fromOpaque(context).release()
          }
          managed.deallocate()
        }))
    managed.pointee = OpaquePointer(result)
  }
}

/// DLPack's numbers, and who owns an exported tensor.
private enum DLPack {
  static let cpu: Int32 = 1

  /// Codes: 0 int, 1 unsigned, 2 float, 4 bfloat, 6 bool, 10 E4M3 and 12 E5M2.
  static let types: [(type: Int32, code: UInt8, bits: UInt8)] = [
    (Int32(ATTENTION_FLOAT32), 2, 32), (Int32(ATTENTION_FLOAT16), 2, 16),
    (Int32(ATTENTION_BFLOAT16), 4, 16), (Int32(ATTENTION_FLOAT8_E4M3), 10, 8),
    (Int32(ATTENTION_FLOAT8_E5M2), 12, 8), (Int32(ATTENTION_INT8), 0, 8),
    (Int32(ATTENTION_UINT8), 1, 8), (Int32(ATTENTION_INT32), 0, 32),
    (Int32(ATTENTION_INT64), 0, 64), (Int32(ATTENTION_BOOL), 6, 8),
  ]

  /// Releases what a DLPack tensor describes when its deleter runs.
  final class Owner {
    private let release: (@convention(c) (UnsafeMutableRawPointer?) -> Void)?
    private let context: UnsafeMutableRawPointer?
    private let axes: UnsafeMutablePointer<Int64>

    init(
      release: (@convention(c) (UnsafeMutableRawPointer?) -> Void)?,
      context: UnsafeMutableRawPointer?, axes: UnsafeMutablePointer<Int64>
    ) {
      (self.release, self.context, self.axes) = (release, context, axes)
    }

    deinit {
      release?(context)
      axes.deallocate()
    }
  }
}
