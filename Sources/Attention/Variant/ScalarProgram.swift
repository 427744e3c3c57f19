/// An expression, or several, as steps in Double at one place: what a tile's rows, a vector's
/// elements or a token have once instead of once a score.
///
/// Step i writes register i; equal subtrees are one step.
struct ScalarProgram: Sendable {
  /// One step.
  enum Step: Sendable, Hashable, BitwiseCopyable {
    case constant(Double)
    case position(Expression.Position)
    case perHead(Int)
    case tensor(Int, Expression.TensorRow)
    case element(Expression.Partner)
    case unary(Expression.Unary, Int)
    case binary(Expression.Binary, Int, Int)
    case select(Int, Int, Int)

    /// The registers read.
    var operands: [Int] {
      switch self {
      case .constant, .position, .perHead, .tensor, .element: []
      case .unary(_, let a): [a]
      case .binary(_, let a, let b): [a, b]
      case .select(let c, let a, let b): [c, a, b]
      }
    }
  }

  private(set) var steps: [Step] = []
  /// The registers asked for, in the order asked.
  private(set) var outputs: [Int] = []
  private var known: [Expression: Int] = [:]
  private var slots: [Expression: Int] = [:]

  /// The number of the output that holds an expression's value.
  mutating func output(_ expression: Expression) -> Int {
    if let slot = slots[expression] { return slot }
    outputs.append(register(of: expression))
    slots[expression] = outputs.count - 1
    return outputs.count - 1
  }

  /// Asks for a value of its own, whether or not an equal one was asked for.
  mutating func addOutput(_ expression: Expression) {
    outputs.append(register(of: expression))
  }

  /// Whether it computes all that another one does, in the same places.
  func begins(with other: ScalarProgram) -> Bool {
    steps.starts(with: other.steps) && outputs.starts(with: other.outputs)
  }

  /// Whether the rows of a head have the same values.
  var dependsOnHeadAlone: Bool {
    steps.allSatisfy { step in
      switch step {
      case .constant, .perHead, .unary, .binary, .select: true
      case .position(let p): p == .queryHead || p == .kvHead
      case .tensor, .element: false
      }
    }
  }

  /// The steps that depend on a position, in order, and the registers of other steps they read.
  func steps(dependingOn position: Expression.Position) -> (steps: [Int], inherited: [Int]) {
    var dependent: [Int] = []
    var inherited: [Int] = []
    for (i, step) in steps.enumerated() {
      let operands = step.operands
      if step == .position(position) || operands.contains(where: dependent.contains) {
        dependent.append(i)
        for operand in operands where !dependent.contains(operand) { inherited.append(operand) }
      }
    }
    return (dependent, inherited)
  }

  private mutating func register(of expression: Expression) -> Int {
    if let register = known[expression] { return register }
    let step: Step
    switch expression {
    case .constant(let x): step = .constant(x)
    case .position(let p): step = .position(p)
    case .perHead(let i): step = .perHead(i)
    case .tensor(let i, let row): step = .tensor(i, row)
    case .unary(let f, let a): step = .unary(f, register(of: a))
    case .binary(let f, let a, let b): step = .binary(f, register(of: a), register(of: b))
    case .select(let c, let a, let b):
      step = .select(register(of: c), register(of: a), register(of: b))
    case .element(let partner): step = .element(partner)
    // Parameters and presence have been replaced; scores and bits are never scalars.
    case .score, .parameter, .bit, .isPresent: step = .constant(.nan)
    }
    steps.append(step)
    known[expression] = steps.count - 1
    return steps.count - 1
  }

  /// The steps at an address that threads share.
  final class Executable {
    private let steps = Section<Step>()
    private let outputs = Section<Int>()
    private let dependsOnHeadAlone: Bool

    init(_ program: ScalarProgram) {
      steps.assign(program.steps)
      outputs.assign(program.outputs)
      dependsOnHeadAlone = program.dependsOnHeadAlone
    }

    var view: View {
      View(
        steps: steps.base, count: steps.count, outputs: outputs.base, outputCount: outputs.count,
        dependsOnHeadAlone: dependsOnHeadAlone)
    }
  }

  /// What a thread needs to execute a program.
  ///
  /// - Invariant: Pointers into an `Executable` that outlives the run.
  struct View {
    let steps: UnsafePointer<Step>
    /// Steps, and so registers.
    let count: Int
    let outputs: UnsafePointer<Int>
    let outputCount: Int
    let dependsOnHeadAlone: Bool

    /// Computes every register.
    ///
    /// - Parameter vector: The vector of `dimensionCount` elements that `place` is in; only programs
    ///   of whole functors read it.
    @inline(__always)
    func run(
      at place: ScorePlace, _ data: ParameterData, _ registers: UnsafeMutablePointer<Double>,
      vector: UnsafePointer<Double>? = nil
    ) {
      for i in 0..<count { step(i, at: place, data, registers, vector: vector) }
    }

    /// Computes register `i`.
    @inline(__always)
    func step(
      _ i: Int, at place: ScorePlace, _ data: ParameterData,
      _ registers: UnsafeMutablePointer<Double>, vector: UnsafePointer<Double>? = nil
    ) {
      registers[i] =
        switch steps[i] {
        case .constant(let x): x
        case .position(let p): Double(place[p])
        case .perHead(let v): Double(data.perHead[v * data.heads + place.queryHead])
        case .tensor(let t, let row): Double(data.value(t, row, at: place))
        case .element(let partner):
          vector.map { $0[partner(place.dimension, of: place.dimensionCount)] } ?? .nan
        case .unary(let f, let a): f(registers[a])
        case .binary(let f, let a, let b): f(registers[a], registers[b])
        case .select(let c, let a, let b): registers[c] != 0 ? registers[a] : registers[b]
        }
    }
  }
}
