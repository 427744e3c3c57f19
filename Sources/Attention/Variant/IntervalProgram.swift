/// A condition as steps over intervals: what `Expression.coverage` finds by walking the tree, for every
/// tile of a run.
///
/// Step i writes register i, the low and the high end; equal subtrees are one step where both are sure to
/// run.
struct IntervalProgram: Sendable {
  /// One step.
  enum Step: Sendable, BitwiseCopyable {
    /// A leaf that is the same for all places, for all that is known.
    case range(low: Double, high: Double)
    case position(Expression.Position)
    case perHead(Int)
    case tensor(Int, Expression.TensorRow)
    case bit(Int)
    case unary(Expression.Unary, Int)
    case binary(Expression.Binary, Int, Int)
    case select(Int, Int, Int)
    /// Where a register is never true (or always, for `or`), so is the register `target`: what lies
    /// between need not be looked at.
    case decide(Int, isOr: Bool, target: Int)
  }

  private(set) var steps: [Step] = []
  private var known: [Expression: Int] = [:]

  init(_ condition: Expression) { _ = register(of: condition) }

  private mutating func register(of expression: Expression) -> Int {
    if let register = known[expression] { return register }
    let step: Step
    switch expression {
    case .constant(let x):
      let interval = Interval(x)
      step = .range(low: interval.low, high: interval.high)
    case .position(let p): step = .position(p)
    case .perHead(let i): step = .perHead(i)
    case .tensor(let i, let row): step = .tensor(i, row)
    case .bit(let i): step = .bit(i)
    case .isPresent: step = .range(low: 0, high: 1)
    // Parameters have been replaced.
    case .score, .element, .parameter: step = .range(low: -.infinity, high: .infinity)
    case .unary(let f, let a): step = .unary(f, register(of: a))
    case .binary(let f, let a, let b) where f == .and || f == .or:
      let left = register(of: a)
      let decision = steps.count
      steps.append(.decide(left, isOr: f == .or, target: 0))
      // What the right side alone computes may not have been computed.
      let sure = known
      let right = register(of: b)
      known = sure
      steps[decision] = .decide(left, isOr: f == .or, target: steps.count)
      step = .binary(f, left, right)
    case .binary(let f, let a, let b): step = .binary(f, register(of: a), register(of: b))
    case .select(let c, let a, let b):
      step = .select(register(of: c), register(of: a), register(of: b))
    }
    steps.append(step)
    known[expression] = steps.count - 1
    return steps.count - 1
  }

  /// The steps at an address that threads share.
  final class Executable {
    private let steps = Section<Step>()

    init(_ program: IntervalProgram) { steps.assign(program.steps) }

    var view: View { View(steps: steps.base, count: steps.count) }
  }

  /// What a thread needs to execute a program.
  ///
  /// - Invariant: Pointers into an `Executable` that outlives the run.
  struct View {
    let steps: UnsafePointer<Step>
    let count: Int

    /// What the condition can be over a block of places.
    ///
    /// - Parameter registers: Room for two numbers a step.
    func coverage(
      over places: PlaceRange, _ data: ParameterData, _ registers: UnsafeMutablePointer<Double>
    ) -> TileCoverage {
      func read(_ i: Int) -> Interval { Interval(registers[2 * i], registers[2 * i + 1]) }
      func write(_ interval: Interval, _ i: Int) {
        (registers[2 * i], registers[2 * i + 1]) = (interval.low, interval.high)
      }
      var i = 0
      while i < count {
        switch steps[i] {
        case .range(let low, let high): write(Interval(low, high), i)
        case .position(let p): write(places[p], i)
        case .perHead(let v): write(data.range(ofHeads: places.queryHead, v), i)
        case .tensor(let t, let row): write(data.range(t, row, over: places), i)
        case .bit(let b): write(data.truth(ofMask: b, over: places), i)
        case .unary(let f, let a): write(f.interval(read(a)), i)
        case .binary(let f, let a, let b): write(f.interval(read(a), read(b)), i)
        case .select(let c, let a, let b): write(.choose(read(c), read(a), read(b)), i)
        case .decide(let a, let isOr, let target):
          let left = read(a)
          if isOr ? left.isAlwaysTrue : left.isNeverTrue {
            write(Interval(isOr ? 1 : 0), target)
            i = target
          }
        }
        i += 1
      }
      return read(count - 1).coverage
    }
  }
}
