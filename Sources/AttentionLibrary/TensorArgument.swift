package import CAttention
internal import Tensors

/// A tensor that a caller described, checked: its memory's extent is finite and its axes are known.
///
/// - Invariant: As the caller promises, `base` addresses every element that the strides reach, for
///   the length of the call.
package struct TensorArgument {
  /// The most axes.
  static let maximumRank = 6

  let name: String
  package let base: UnsafeMutableRawPointer
  package let type: ElementKind
  let rank: Int
  let count: Int
  private var axes: InlineArray<6, (length: Int, stride: Int)>

  /// An element's form.
  package enum ElementKind: Int32, Sendable {
    case float32, float16, bfloat16, float8E4M3, float8E5M2, int8, uint8, int32, int64, bool

    /// The stored form of floats; `nil` for integers other than int8.
    var floats: ElementType? {
      switch self {
      case .float32: .float32
      case .float16: .float16
      case .bfloat16: .bfloat16
      case .float8E4M3: .float8E4M3
      case .float8E5M2: .float8E5M2
      case .int8: .int8
      default: nil
      }
    }

    var bytes: Int {
      switch self {
      case .float32, .int32: 4
      case .float16, .bfloat16: 2
      case .int64: 8
      default: 1
      }
    }
  }

  /// Checks a description; `name` is the argument's, for messages.
  package init(_ pointer: UnsafePointer<attention_tensor>?, _ name: String) throws {
    guard let pointer else { throw CallFailure("\(name) is NULL; expected a tensor") }
    let tensor = pointer.pointee
    guard let type = ElementKind(rawValue: tensor.type) else {
      throw CallFailure("\(name): element type \(tensor.type) is unknown")
    }
    guard (0...Int32(Self.maximumRank)).contains(tensor.rank) else {
      throw CallFailure("\(name): rank \(tensor.rank); expected 0 to \(Self.maximumRank)")
    }
    self.name = name
    self.type = type
    rank = Int(tensor.rank)
    let (shape, strides) = (tensor.shape, tensor.strides)
    let lengths = [shape.0, shape.1, shape.2, shape.3, shape.4, shape.5]
    let steps = [strides.0, strides.1, strides.2, strides.3, strides.4, strides.5]
    axes = .init(repeating: (1, 0))
    var (elements, extent) = (1.0, 1.0)
    for axis in 0..<rank {
      let (length, step) = (lengths[axis], steps[axis])
      guard (0...1 << 40).contains(length) else {
        throw CallFailure("\(name): axis \(axis) has \(length) elements")
      }
      guard step.magnitude <= 1 << 40 || length <= 1 else {
        throw CallFailure("\(name): axis \(axis) has stride \(step)")
      }
      axes[axis] = (Int(length), length <= 1 ? 0 : Int(step))
      elements *= Double(length)
      extent += Double(max(length - 1, 0)) * Double(axes[axis].stride.magnitude)
    }
    guard elements <= 0x1p40, extent <= 0x1p44 else {
      throw CallFailure("\(name): its \(elements) elements exceed the address space")
    }
    count = Int(elements)
    guard let base = tensor.data ?? (count == 0 ? Self.nowhere : nil) else {
      throw CallFailure("\(name): its data is NULL")
    }
    self.base = base
  }

  /// The address of tensors without elements.
  private static var nowhere: UnsafeMutableRawPointer? { UnsafeMutableRawPointer(bitPattern: 64) }

  /// As the other initialiser; `nil` for NULL.
  static func optional(_ pointer: UnsafePointer<attention_tensor>?, _ name: String) throws -> Self?
  {
    pointer == nil ? nil : try TensorArgument(pointer, name)
  }

  /// The length of an axis; negative axes count from the end.
  func length(_ axis: Int) -> Int { axes[axis < 0 ? rank + axis : axis].length }

  /// The distance between indices of an axis, in elements.
  package func stride(_ axis: Int) -> Int { axes[axis < 0 ? rank + axis : axis].stride }

  package var shape: [Int] { (0..<rank).map { axes[$0].length } }

  /// The product of all lengths but the last; 1 for a vector.
  var rows: Int { (0..<max(rank - 1, 0)).reduce(1) { $0 * axes[$1].length } }

  /// The length of the last axis, 1 for a scalar.
  var columns: Int { rank == 0 ? 1 : length(-1) }

  /// Throws unless the shape is this one; `nil` stands for any length.
  func require(_ expected: Int?...) throws {
    guard rank == expected.count,
      (0..<rank).allSatisfy({ expected[$0] == nil || expected[$0] == axes[$0].length })
    else {
      let text = expected.map { $0.map(String.init) ?? "any" }.joined(separator: ", ")
      throw CallFailure("\(name) has shape \(shape); expected [\(text)]")
    }
  }

  /// Throws unless the last axes are these and the others have `count` rows together.
  func requireRows(_ count: Int, _ last: [Int]) throws {
    let leading = rank - last.count
    guard leading >= 1, Array(shape.dropFirst(leading)) == last,
      shape.prefix(leading).reduce(1, *) == count
    else {
      let text = ([count] + last).map(String.init).joined(separator: ", ")
      throw CallFailure("\(name) has shape \(shape); expected [\(text)]")
    }
  }

  /// Throws unless both have one shape.
  func require(like other: TensorArgument) throws {
    guard shape == other.shape else {
      throw CallFailure(
        "\(name) has shape \(shape); expected that of \(other.name), \(other.shape)")
    }
  }

  /// The form of its elements, which must be floats.
  func floatType() throws -> ElementType {
    guard let floats = type.floats else {
      throw CallFailure("\(name) has elements of type \(type); expected floats")
    }
    return floats
  }

  /// Throws unless elements have this type.
  func require(_ types: ElementKind...) throws {
    guard types.contains(type) else {
      let text = types.map { "\($0)" }.joined(separator: " or ")
      throw CallFailure("\(name) has elements of type \(type); expected \(text)")
    }
  }

  /// The address of the element with the given number in row-major order.
  func address(_ number: Int) -> UnsafeMutableRawPointer {
    var (rest, offset) = (number, 0)
    var axis = rank - 1
    while axis >= 0 {
      let (length, stride) = axes[axis]
      let (quotient, index) = rest.quotientAndRemainder(dividingBy: max(length, 1))
      offset += index * stride
      rest = quotient
      axis -= 1
    }
    return base + offset * type.bytes
  }

  /// The length of runs of adjacent elements.
  ///
  /// Elements `i·n ..< (i + 1)·n` are adjacent: n is the product of the last axes without gaps, 1
  /// where even the last one has some.
  var adjacent: Int {
    var run = 1
    var axis = rank - 1
    while axis >= 0, axes[axis].length <= 1 || axes[axis].stride == run {
      run *= axes[axis].length
      axis -= 1
    }
    return max(run, 1)
  }
}

// Lists of numbers.
extension TensorArgument {
  /// All elements in row-major order; int32 or int64.
  func integers() throws -> [Int] {
    switch type {
    case .int32: return list { Int($0.load(as: Int32.self)) }
    case .int64: return list { Int($0.load(as: Int64.self)) }
    default: throw CallFailure("\(name) has elements of type \(type); expected int32 or int64")
    }
  }

  /// All elements in row-major order; bool or uint8.
  func booleans() throws -> [Bool] {
    try require(.bool, .uint8)
    return list { $0.load(as: UInt8.self) != 0 }
  }

  /// All elements in row-major order; uint8.
  func bytes() throws -> [UInt8] {
    try require(.uint8)
    return list { $0.load(as: UInt8.self) }
  }

  private func list<Element>(_ load: (UnsafeRawPointer) -> Element) -> [Element] {
    let (run, size) = (adjacent, type.bytes)
    return [Element](unsafeUninitializedCapacity: count) { buffer, initialized in
      var number = 0
      while number < count {
        let first = address(number)
        for i in 0..<min(run, count - number) {
          buffer.initializeElement(at: number + i, to: load(first + i * size))
        }
        number += run
      }
      initialized = count
    }
  }

  /// Writes int32 or int64 elements in row-major order.
  func store(_ values: [Int]) throws {
    try require(.int32, .int64)
    for (i, value) in values.prefix(count).enumerated() {
      if type == .int32 {
        address(i).storeBytes(of: Int32(truncatingIfNeeded: value), as: Int32.self)
      } else {
        address(i).storeBytes(of: Int64(value), as: Int64.self)
      }
    }
  }
}
