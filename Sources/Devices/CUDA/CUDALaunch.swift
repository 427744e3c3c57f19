/// An address in a device's memory; 0 where there is nothing.
public struct CUDAAddress: Sendable, Hashable {
  /// The address itself.
  public var bits: UInt64

  /// An address.
  public init(bits: UInt64) { self.bits = bits }

  /// No memory: for arguments that may be absent.
  public static let none = CUDAAddress(bits: 0)

  /// The address some bytes further on.
  public func advanced(by bytes: Int) -> CUDAAddress {
    CUDAAddress(bits: bits &+ UInt64(bitPattern: Int64(bytes)))
  }
}

/// A matrix in a device's memory, row after row.
public struct CUDAMatrix: Sendable, Hashable {
  /// The first element.
  public var base: CUDAAddress
  /// The number of rows.
  public var rows: Int
  /// The elements of a row.
  public var columns: Int
  /// Elements from one row to the next.
  public var stride: Int

  /// A matrix; without a stride rows follow each other.
  public init(_ base: CUDAAddress, rows: Int, columns: Int, stride: Int? = nil) {
    (self.base, self.rows, self.columns) = (base, rows, columns)
    self.stride = stride ?? columns
  }
}

/// A kernel's launch: which, on how many blocks, and what it is told.
public struct CUDALaunch: Sendable, Hashable {
  /// The kernel's name in its text.
  public var entryPoint: String
  /// Blocks of the grid.
  public var blocks: Int
  /// Whether blocks wait for each other: the driver then runs all at a time, or refuses.
  public var isCooperative = false
  /// In the order of the kernel's parameters.
  public var arguments: [Argument]

  /// A kernel's argument.
  public enum Argument: Sendable, Hashable {
    /// A pointer.
    case address(CUDAAddress)
    /// 32 bits, `int`.
    case int(Int)
    /// 64 bits, `long long`.
    case long(Int)
    /// `float`.
    case float(Float)
    /// A structure as it lies in memory.
    case bytes([UInt8])

    /// As it lies in memory.
    public var bytes: [UInt8] {
      switch self {
      case .address(let address): Self.bytes(of: address.bits)
      case .int(let value): Self.bytes(of: Int32(clamping: value))
      case .long(let value): Self.bytes(of: Int64(value))
      case .float(let value): Self.bytes(of: value)
      case .bytes(let bytes): bytes
      }
    }

    /// Its size.
    var byteCount: Int {
      switch self {
      case .address, .long: 8
      case .int, .float: 4
      case .bytes(let bytes): bytes.count
      }
    }

    private static func bytes(of value: some BitwiseCopyable) -> [UInt8] {
      withUnsafeBytes(of: value) { Array($0) }
    }
  }

  /// A launch.
  public init(
    _ entryPoint: String, blocks: Int, isCooperative: Bool = false, _ arguments: [Argument]
  ) {
    (self.entryPoint, self.blocks, self.arguments) = (entryPoint, blocks, arguments)
    self.isCooperative = isCooperative
  }

  /// Calls `body` with the address of each argument, as the driver wants them; valid until it
  /// returns.
  public func withArguments<Result, Failure: Error>(
    _ body: (UnsafeMutableBufferPointer<UnsafeMutableRawPointer?>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // Structures such as tensor maps are aligned to 128 bytes.
    let all = arguments.map(\.bytes)
    let offsets = all.reduce(into: [0]) { $0.append(($0.last ?? 0) + ($1.count + 127) / 128 * 128) }
    let memory = UnsafeMutableRawBufferPointer.allocate(
      byteCount: max(offsets.last ?? 0, 128), alignment: 128)
    defer { memory.deallocate() }
    let pointers = UnsafeMutableBufferPointer<UnsafeMutableRawPointer?>.allocate(
      capacity: all.count)
    defer { pointers.deallocate() }
    for (i, bytes) in all.enumerated() {
      memory[offsets[i]..<offsets[i] + bytes.count].copyBytes(from: bytes)
      pointers.initializeElement(at: i, to: memory.baseAddress.map { $0 + offsets[i] })
    }
    return try body(pointers)
  }
}
