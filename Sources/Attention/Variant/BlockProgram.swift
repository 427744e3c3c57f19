internal import CMicrokernels

/// Expressions lowered to vector operations over a block of floats: the meaning of functors on the
/// CPU.
///
/// A block is a score tile (a row for each query and head, a column for each key), a panel of keys
/// (a row for each dimension, a column for each token) or rows of vectors (a row for each token, a
/// column for each dimension). What is the same along a row is computed once a row, in Double; what
/// is the same along a column once for all rows; the rest is one kernel step each over the block.
/// Equal subtrees are computed once, common pairs are fused, registers are used again.
struct BlockProgram: Sendable {
  /// What kind of block.
  enum Layout: Sendable {
    case scores, panel, rows
  }

  /// A block that is filled before the program runs.
  enum External: Sendable, Hashable {
    /// The block's own elements in another order.
    case partner(Expression.Partner)
    /// A function of a whole number, output `index` of `tokens`, and the dimension, from a table;
    /// `of` is that number.
    case table(function: Expression, index: Int, of: Expression)
    /// A function of the token and the dimension that no table holds.
    case computed(Expression)
  }

  /// What a row pointer leads to.
  enum Pointer: Sendable, Hashable, BitwiseCopyable {
    /// The entries of a tensor for the keys of the row's request.
    case tensor(Int)
    /// The bits of a custom mask.
    case mask(Int)
  }

  private(set) var steps: [swa_tile_step] = []
  /// Steps over one row that make the columns' vectors, for scores.
  private(set) var columnSteps: [swa_tile_step] = []
  private(set) var registerCount = 0
  private(set) var columnCount = 0
  /// What differs from row to row of scores, or from token to token of vectors.
  private(set) var tokens = ScalarProgram()
  /// What differs from dimension to dimension of vectors.
  private(set) var dimensions: [Expression] = []
  private(set) var externals: [External] = []
  private(set) var pointers: [Pointer] = []
  /// What is known of the numbers of rows and columns.
  private(set) var facts = TileFacts()
  /// The distance of a `PairTurn` whose c and s are the externals, where there are no steps but that.
  private(set) var turn: Int?
  /// The registers, from 0, in which a run leaves what was asked for beside the logits.
  private(set) var results: [Int] = []

  /// Whether there is nothing to do.
  var isEmpty: Bool { steps.isEmpty }

  /// Lowers a logits functor and the part of a mask that bounds do not cover.
  ///
  /// - Parameter others: Further functions of the scores, left in registers of their own.
  init(logits: Expression, mask: Expression?, beside others: [Expression] = []) {
    var builder = BlockBuilder(.scores, roots: [logits] + others + (mask.map { [$0] } ?? []))
    let kept = others.map { builder.keep(builder.reciprocals(in: $0)) }
    if logits != .score { builder.write(builder.reciprocals(in: logits)) }
    if let mask { for condition in mask.conjuncts { builder.mask(condition) } }
    self.init(builder, keeping: kept)
  }

  /// Lowers a functor on vectors of `dimension` elements.
  init(vector expression: Expression, layout: Layout, dimension: Int) {
    if let turn = PairTurn(expression, dimension: dimension) {
      var builder = BlockBuilder(layout, roots: [turn.cosine, turn.sine])
      if builder.fill(externals: [turn.cosine, turn.sine]) {
        self.init(builder)
        self.turn = turn.distance
        return
      }
    }
    var builder = BlockBuilder(layout, roots: [expression])
    if expression != .element(.own) { builder.write(expression) }
    self.init(builder)
  }

  private init(_ builder: BlockBuilder, keeping kept: [Int] = []) {
    (steps, registerCount, results) = builder.block.allocated(keeping: kept)
    // A column's register is its number: all of them are read by the block.
    columnSteps = builder.column.map { $0.step { $0 } }
    columnCount = builder.columnCount
    tokens = builder.tokens
    dimensions = builder.dimensions
    externals = builder.externals
    pointers = builder.pointers
    facts = builder.facts
  }
}

extension Expression {
  /// The conditions that must all hold.
  package var conjuncts: [Expression] {
    if case .binary(.and, let a, let b) = self { return a.conjuncts + b.conjuncts }
    return self == .constant(1) ? [] : [self]
  }
}

/// A step before registers are assigned.
struct VirtualStep {
  /// An operand; a virtual register is written once.
  enum Operand: Hashable {
    case block
    case register(Int)
    case column(Int)
    case row(Int)
    case external(Int)
    /// The result of the step before.
    case last
  }

  var op: swa_tile_op
  /// The virtual register written; `nil` is the block.
  var target: Int?
  var operands: [Operand]
  /// Whether only the next step reads the result, as `last`.
  var isForNextAlone = false

  /// Whether the kernel keeps the result in registers for the next step.
  var isChainable: Bool { !swa_tile_reads(op) }

  /// The same step with `last` as its first operand, if there is one.
  func leading(with last: Operand) -> VirtualStep? {
    if operands.first == last { return self }
    if op == SWA_TILE_MULTIPLY_ADD, operands[2] == last, operands[1] != last {
      return VirtualStep(
        op: SWA_TILE_ADD_PRODUCT, target: target, operands: [last, operands[0], operands[1]])
    }
    let commutes = [
      SWA_TILE_ADD, SWA_TILE_MULTIPLY, SWA_TILE_EQUAL, SWA_TILE_AND, SWA_TILE_OR,
      SWA_TILE_MULTIPLY_ADD, SWA_TILE_MULTIPLY_SUBTRACT, SWA_TILE_SUBTRACT_PRODUCT,
    ]
    guard commutes.contains(op), operands[1] == last else { return nil }
    return VirtualStep(
      op: op, target: target, operands: [operands[1], operands[0]] + operands.dropFirst(2))
  }

  /// The kernel's step; `place` says where a virtual register lies.
  func step(_ place: (Int) -> Int) -> swa_tile_step {
    func encode(_ i: Int) -> swa_tile_operand {
      guard i < operands.count else { return encode(.block) }
      return encode(operands[i])
    }
    func encode(_ operand: Operand) -> swa_tile_operand {
      let (source, index) =
        switch operand {
        case .block: (SWA_TILE_REGISTER, 0)
        case .register(let r): (SWA_TILE_REGISTER, place(r) + 1)
        case .column(let c): (SWA_TILE_COLUMN, c)
        case .row(let r): (SWA_TILE_ROW, r)
        case .external(let e): (SWA_TILE_EXTERNAL, e)
        case .last: (SWA_TILE_LAST, 0)
        }
      return swa_tile_operand(
        source: UInt16(truncatingIfNeeded: source.rawValue),
        index: UInt16(truncatingIfNeeded: index))
    }
    let number = isForNextAlone ? Int(SWA_TILE_NOWHERE) : target.map { place($0) + 1 } ?? 0
    return swa_tile_step(
      op: UInt16(truncatingIfNeeded: op.rawValue), target: UInt16(truncatingIfNeeded: number),
      a: encode(0), b: encode(1), c: encode(2))
  }
}

extension [VirtualStep] {
  /// The steps over as few registers as their lifetimes allow; those to be kept live to the end.
  func allocated(keeping kept: [Int])
    -> (steps: [swa_tile_step], registers: Int, kept: [Int])
  {
    let steps = chained(keeping: kept)
    var lastUse: [Int: Int] = [:]
    for (i, step) in steps.enumerated() {
      for case .register(let r) in step.operands { lastUse[r] = i }
      if let target = step.target { lastUse[target] = lastUse[target] ?? i }
    }
    for r in kept { lastUse[r] = count }
    var places: [Int: Int] = [:]
    var free: [Int] = []
    var registers = 0
    var result: [swa_tile_step] = []
    for (i, step) in steps.enumerated() {
      // A step may write over its operands, so their registers are free for its target.
      free += ending(step, at: i, lastUse, places)
      if let target = step.target, !step.isForNextAlone {
        places[target] = free.popLast() ?? registers
        registers = Swift.max(registers, (places[target] ?? 0) + 1)
      }
      result.append(step.step { places[$0] ?? 0 })
      if let target = step.target, lastUse[target] == i, let place = places[target] {
        free.append(place)
      }
    }
    return (result, registers, kept.map { places[$0] ?? 0 })
  }

  /// The places of registers that a step is the last to read.
  private func ending(
    _ step: VirtualStep, at i: Int, _ lastUse: [Int: Int], _ places: [Int: Int]
  ) -> [Int] {
    Set(
      step.operands.compactMap { operand -> Int? in
        if case .register(let r) = operand, lastUse[r] == i { return places[r] }
        return nil
      }
    ).sorted(by: >)
  }

  /// The steps that take the result of the one before from where it is computed.
  private func chained(keeping kept: [Int]) -> [VirtualStep] {
    var reads: [Int: Int] = [:]
    for step in self {
      for case .register(let r) in step.operands { reads[r, default: 0] += 1 }
    }
    for r in kept { reads[r, default: 0] += 1 }
    var steps = self
    var length = 0
    for i in indices {
      length = self[i].isChainable ? length + 1 : 0
      if length == 0 || length % Int(SWA_TILE_CHAIN) == 1 { continue }
      let previous = self[i - 1]
      let result = previous.target.map { VirtualStep.Operand.register($0) } ?? .block
      guard let step = self[i].leading(with: result) else { continue }
      steps[i] = step
      steps[i].operands[0] = .last
      if let target = previous.target, reads[target] == 1 { steps[i - 1].isForNextAlone = true }
    }
    return steps
  }
}
