/// A tile program as straight-line code over one vector of sixteen scores: every value is written once,
/// conditions are masks.
struct VectorCode {
  /// What is read from memory, as it was before the program.
  enum Source: Hashable {
    case block
    /// Register 1 and further.
    case register(Int)
    case external(Int)
    /// What all rows share.
    case column(Int)
    /// The floats that a row's pointer leads to.
    case pointer(Int)
    /// One float a row.
    case row(Int)
    /// One float for all rows: its bits, or the weight of what is masked.
    case constant(UInt32)
    case masked
    /// 0, 1, … 15.
    case lanes

    static func float(_ x: Float) -> Source { .constant(x.bitPattern) }

    /// Whether it is one float for a whole vector.
    var isOneFloat: Bool {
      switch self {
      case .row, .constant, .masked: true
      default: false
      }
    }
  }

  enum Operand: Hashable {
    case value(Int)
    case source(Source)

    static func float(_ x: Float) -> Operand { .source(.float(x)) }
    static func bits(_ x: UInt32) -> Operand { .source(.constant(x)) }
  }

  enum Kind: Equatable {
    /// The operand, in a register.
    case copy
    /// a ∘ b.
    case binary(VectorInstruction)
    /// f(a), some with a number.
    case unary(VectorInstruction, UInt8?)
    /// Bits of a moved right, with copies of the sign.
    case shiftRight(UInt8)
    /// a·b and c.
    case product(VectorInstruction.Product)
    /// mask ? a : b.
    case blend
    /// mask ? a : 0.
    case keep
    /// The columns' numbers; a is the lanes.
    case count

    // Masks: of a ∘ b where `mask` is; of a row's bits; of masks.
    case compare(VectorInstruction.Predicate)
    case bits(Int)
    case and
    case or
    case not

    /// a goes to a register, or to the block as register 0.
    case store(Int)

    var isMask: Bool {
      switch self {
      case .compare, .bits, .and, .or, .not: true
      default: false
      }
    }
  }

  struct Operation {
    var kind: Kind
    /// The number of the value, or of the mask.
    var target = -1
    var a: Operand?
    var b: Operand?
    var c: Operand?
    var mask: Int?
    var other: Int?
    /// Operations of one group follow each other for one vector before the next vector's turn.
    var group = 0

    /// The values that are read, some twice.
    func forEachValue(_ body: (Int) -> Void) {
      if case .value(let v)? = a { body(v) }
      if case .value(let v)? = b { body(v) }
      if case .value(let v)? = c { body(v) }
    }
    func forEachMask(_ body: (Int) -> Void) {
      if let mask { body(mask) }
      if let other { body(other) }
    }
    func forEachSource(_ body: (Source) -> Void) {
      if case .source(let s)? = a { body(s) }
      if case .source(let s)? = b { body(s) }
      if case .source(let s)? = c { body(s) }
    }
  }

  var operations: [Operation] = []
  private(set) var valueCount = 0
  private(set) var maskCount = 0
  private var group = 0
  private var isGrouped = false

  /// Puts what `body` appends into one group: long chains of operations, divisions among them, of one
  /// vector then stand beside those of the next.
  mutating func grouped(_ body: (inout VectorCode) -> Operand) -> Operand {
    group += 1
    isGrouped = true
    let result = body(&self)
    isGrouped = false
    return result
  }

  private mutating func append(_ operation: Operation) {
    if !isGrouped { group += 1 }
    operations.append(operation)
    operations[operations.count - 1].group = group
  }

  /// Appends an operation that makes a value.
  mutating func value(
    _ kind: Kind, _ a: Operand? = nil, _ b: Operand? = nil, _ c: Operand? = nil, mask: Int? = nil
  ) -> Operand {
    valueCount += 1
    append(Operation(kind: kind, target: valueCount - 1, a: a, b: b, c: c, mask: mask))
    return .value(valueCount - 1)
  }

  /// Appends an operation that makes a mask.
  mutating func mask(
    _ kind: Kind, _ a: Operand? = nil, _ b: Operand? = nil, mask: Int? = nil, other: Int? = nil
  ) -> Int {
    maskCount += 1
    append(Operation(kind: kind, target: maskCount - 1, a: a, b: b, mask: mask, other: other))
    return maskCount - 1
  }

  /// One more than the largest number of an external block that is read.
  var externalCount: Int {
    var count = 0
    for operation in operations {
      operation.forEachSource { if case .external(let e) = $0 { count = max(count, e + 1) } }
    }
    return count
  }

  /// How many operations on a value is read next, from `i` on; 0 where never again.
  func nextUse(of value: Int, from i: Int) -> Int {
    let next = operations[i...].firstIndex { operation in
      var reads = false
      operation.forEachValue { if $0 == value { reads = true } }
      return reads
    }
    return next.map { $0 - i } ?? 0
  }

  func nextUse(ofMask mask: Int, from i: Int) -> Int {
    let next = operations[i...].firstIndex { $0.mask == mask || $0.other == mask }
    return next.map { $0 - i } ?? 0
  }

  // MARK: Tidying

  /// Leaves out what no store needs.
  mutating func removeUnused() {
    var values = [Bool](repeating: false, count: valueCount)
    var masks = [Bool](repeating: false, count: maskCount)
    var kept: [Operation] = []
    for operation in operations.reversed() {
      switch operation.kind {
      case .store: break
      case let kind where kind.isMask: if !masks[operation.target] { continue }
      default: if !values[operation.target] { continue }
      }
      operation.forEachValue { values[$0] = true }
      operation.forEachMask { masks[$0] = true }
      kept.append(operation)
    }
    operations = kept.reversed()
  }

  /// Reads vectors that are read more than once into a register before the first use, and everything
  /// that a store might overwrite before the first store.
  ///
  /// - Parameter keepsColumns: Whether columns are in registers anyway.
  mutating func loadShared(keepsColumns: Bool) {
    var uses: [Source: Int] = [:]
    for operation in operations {
      let isStore = if case .store = operation.kind { true } else { false }
      operation.forEachSource { source in
        if source.isOneFloat || source == .lanes { return }
        if case .column = source, keepsColumns { return }
        uses[source, default: 0] += isStore ? 2 : 1
      }
    }
    var loaded: [Source: Operand] = [:]
    let old = operations
    operations = []
    operations.reserveCapacity(old.count + 8)
    // Operands first, then the stores themselves.
    var stores: [Operation] = []
    for operation in old {
      var operation = operation
      if case .store = operation.kind {
        // Stores come later: what they load is in a group of its own.
        group += 1
        operation.a = operand(operation.a, group)
        stores.append(operation)
        continue
      }
      operation.a = operand(operation.a, operation.group)
      operation.b = operand(operation.b, operation.group)
      operation.c = operand(operation.c, operation.group)
      operations.append(operation)
    }
    operations += stores

    /// The value that a vector was loaded into, in the group of its first use.
    func operand(_ operand: Operand?, _ group: Int) -> Operand? {
      guard case .source(let source)? = operand, uses[source, default: 0] > 1 else {
        return operand
      }
      if let value = loaded[source] { return value }
      let new = value(.copy, operand)
      operations[operations.count - 1].group = group
      loaded[source] = new
      return new
    }
  }
}
