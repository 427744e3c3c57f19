internal import CMicrokernels

extension TileProgram {
  /// The steps at an address that threads share, with the per-head vectors they read.
  final class Executable {
    let steps = Section<Step>()
    let perHead = Section<Float>()
    private(set) var heads = 0
    let scalarCount: Int
    let vectorCount: Int

    init(_ program: TileProgram, vectors: [[Float]], heads: Int) {
      steps.assign(program.steps)
      perHead.assign(vectors.flatMap { $0 })
      self.heads = heads
      scalarCount = program.scalarCount
      vectorCount = program.vectorCount
    }

    /// A trivial view for a run.
    var view: View {
      View(steps: steps.base, count: steps.count, perHead: perHead.base, heads: heads)
    }
  }

  /// What a thread needs to execute a program.
  ///
  /// - Invariant: Pointers into an `Executable` that outlives the run.
  struct View {
    let steps: UnsafePointer<Step>
    let count: Int
    let perHead: UnsafePointer<Float>
    let heads: Int

    @inline(__always)
    var isEmpty: Bool { count == 0 }

    /// Applies the program to one row of scores, `width` floats (a multiple of 16) of keys from
    /// `place.kv` on.
    ///
    /// - Parameters:
    ///   - scores: The row, register 0.
    ///   - place: Where the row stands; `kv` is the first key.
    ///   - positions: The keys' positions, where they are not consecutive.
    ///   - scalars: Room for the program's scalars.
    ///   - vectors: Registers from 1 on, `pitch` floats apart.
    func apply(
      to scores: UnsafeMutablePointer<Float>, width: Int, at place: ScorePlace,
      positions: UnsafePointer<Int32>?,
      scalars: UnsafeMutablePointer<Double>, vectors: UnsafeMutablePointer<Float>, pitch: Int,
      _ kernels: borrowing swa_attention_kernels
    ) {
      func vector(_ i: Int) -> UnsafeMutablePointer<Float> {
        i == 0 ? scores : vectors + (i - 1) * pitch
      }
      for i in 0..<count {
        switch steps[i] {
        case .constant(let x, let t): scalars[t] = x
        case .position(let p, let t): scalars[t] = Double(place[p])
        case .perHead(let v, let t): scalars[t] = Double(perHead[v * heads + place.queryHead])
        case .scalarUnary(let f, let a, let t): scalars[t] = f(scalars[a])
        case .scalarBinary(let f, let a, let b, let t): scalars[t] = f(scalars[a], scalars[b])
        case .scalarSelect(let c, let a, let b, let t):
          scalars[t] = scalars[c] != 0 ? scalars[a] : scalars[b]
        case .keys(let t):
          guard let positions else {
            kernels.iota(Float(place.kv), vector(t), width)
            break
          }
          for i in 0..<width { vector(t)[i] = Float(positions[i]) }
        case .fill(let x, let t): kernels.fill(Float(scalars[x]), vector(t), width)
        case .unary(let f, let a, let t): kernels.unary(f.code, vector(a), vector(t), width)
        case .binary(let f, .vector(let a), .vector(let b), let t):
          kernels.binary(f.code, vector(a), vector(b), vector(t), width)
        case .binary(let f, .vector(let a), .scalar(let b), let t):
          kernels.binary_right(f.code, vector(a), Float(scalars[b]), vector(t), width)
        case .binary(let f, .scalar(let a), .vector(let b), let t):
          kernels.binary_left(f.code, Float(scalars[a]), vector(b), vector(t), width)
        case .binary(_, .scalar, .scalar, _): break  // lowered to a scalar step
        case .select(let c, let a, let b, let t):
          kernels.select(vector(c), vector(a), vector(b), vector(t), width)
        case .mask(.vector(let c)): kernels.mask(vector(c), scores, width)
        case .mask(.scalar(let c)):
          if scalars[c] == 0 { kernels.fill(-.infinity, scores, width) }
        }
      }
    }
  }
}

extension Expression.Unary {
  /// The kernel's number.
  fileprivate var code: swa_tile_op {
    switch self {
    case .negate: SWA_TILE_NEGATE
    case .absolute: SWA_TILE_ABSOLUTE
    case .exp: SWA_TILE_EXP
    case .log: SWA_TILE_LOG
    case .tanh: SWA_TILE_TANH
    case .sigmoid: SWA_TILE_SIGMOID
    case .squareRoot: SWA_TILE_SQUARE_ROOT
    case .floor: SWA_TILE_FLOOR
    case .not: SWA_TILE_NOT
    }
  }
}

extension Expression.Binary {
  /// The kernel's number.
  fileprivate var code: swa_tile_op {
    switch self {
    case .add: SWA_TILE_ADD
    case .subtract: SWA_TILE_SUBTRACT
    case .multiply: SWA_TILE_MULTIPLY
    case .divide: SWA_TILE_DIVIDE
    case .minimum: SWA_TILE_MINIMUM
    case .maximum: SWA_TILE_MAXIMUM
    case .less: SWA_TILE_LESS
    case .lessOrEqual: SWA_TILE_LESS_OR_EQUAL
    case .equal: SWA_TILE_EQUAL
    case .and: SWA_TILE_AND
    case .or: SWA_TILE_OR
    }
  }
}
