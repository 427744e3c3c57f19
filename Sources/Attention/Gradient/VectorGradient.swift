internal import Devices
internal import Tensors

/// Functors on queries, keys, values and outputs outside attention: whole tensors forward, and
/// gradients back through the functors' symbolic derivatives.
///
/// A functor of a key or value reads nothing of a query, so that what becomes of them is a tensor like
/// the given one, and the backward pass of attention is that of attention without functors. Everything
/// is computed in Double, a vector at a time.
final class VectorGradient {
  /// One functor: its value, its derivatives by the elements that it reads, and by parameters.
  struct Stage {
    let program: ScalarProgram.Executable
    /// The elements, in the order of the program's outputs after the value.
    let partners: [Expression.Partner]
    /// The parameters of the outputs after those.
    let parameters: [GradientPrograms.Parameter]
    let registerCount: Int
  }

  private let shape: AttentionShape
  private let stages: [Functor.Kind: [Stage]]
  // Where every row of queries and of keys stands.
  private var queryPlaces: [ScorePlace] = []
  private var keyPlaces: [ScorePlace] = []
  private var memory: [Functor.Kind: AlignedBuffer] = [:]
  private var outputMemory: AlignedBuffer?

  /// The functors of a variant; `nil` where it has none.
  init?(
    _ variant: AttentionVariant, _ shape: AttentionShape, _ code: VariantCode, withParameters: Bool
  ) {
    func resolved(_ expression: Expression) -> Expression {
      expression.resolving(variant.parameters, bound: code.bound)
    }
    let leaves: [(GradientPrograms.Parameter, Expression)] =
      !withParameters
      ? []
      : variant.parameters.scalars.indices.filter { variant.parameters.scalars[$0] != nil }
        .map { (.scalar($0), .parameter($0)) }
        + variant.parameters.vectors.indices.map { (.perHead($0), .perHead($0)) }
    let functors = variant.functors.filter { $0.kind != .sink }
    if functors.isEmpty { return nil }
    self.shape = shape
    stages = Dictionary(grouping: functors, by: \.kind).mapValues { functors in
      functors.map { functor in
        var program = ScalarProgram()
        let partners = functor.expression.partners
        program.addOutput(resolved(functor.expression))
        for partner in partners {
          program.addOutput(resolved(functor.expression.derivative(by: .element(partner))))
        }
        var parameters: [GradientPrograms.Parameter] = []
        for (parameter, leaf) in leaves {
          let slope = resolved(functor.expression.derivative(by: leaf))
          if slope == .constant(0) { continue }
          program.addOutput(slope)
          parameters.append(parameter)
        }
        return Stage(
          program: ScalarProgram.Executable(program), partners: partners, parameters: parameters,
          registerCount: program.steps.count)
      }
    }
  }

  private func columns(_ kind: Functor.Kind) -> (heads: Int, dimension: Int) {
    switch kind {
    case .query, .sink: (shape.queryHeads, shape.headDimension)
    case .output: (shape.queryHeads, shape.valueDimension)
    case .key: (shape.kvHeads, shape.headDimension)
    case .value: (shape.kvHeads, shape.valueDimension)
    }
  }

  private func places(_ kind: Functor.Kind) -> [ScorePlace] {
    kind == .key || kind == .value ? keyPlaces : queryPlaces
  }

  /// Takes memory for a batch.
  func reserve(queries: RaggedIndex, keys: RaggedIndex) throws(DifferentiableAttention.Failure) {
    queryPlaces.removeAll(keepingCapacity: true)
    keyPlaces.removeAll(keepingCapacity: true)
    for r in 0..<queries.count {
      var place = ScorePlace()
      (place.request, place.queryLength, place.kvLength) = (r, queries[r].count, keys[r].count)
      for i in 0..<place.queryLength {
        place.query = place.kvLength - place.queryLength + i
        queryPlaces.append(place)
      }
      place.query = 0
      for position in 0..<place.kvLength {
        place.kv = position
        keyPlaces.append(place)
      }
    }
    for kind in stages.keys { memory[kind] = try buffer(kind, memory[kind]) }
    outputMemory = stages[.output] == nil ? nil : try buffer(.output, outputMemory)
  }

  /// A buffer for a tensor of a kind, the old one where it is large enough.
  private func buffer(_ kind: Functor.Kind, _ old: AlignedBuffer?)
    throws(DifferentiableAttention.Failure) -> AlignedBuffer
  {
    let (heads, dimension) = columns(kind)
    let bytes = max(places(kind).count * heads * dimension, 1) * MemoryLayout<Float>.stride
    if let old, old.bytes.count >= bytes { return old }
    guard let buffer = AlignedBuffer(trying: bytes) else { throw .memory(bytes: bytes) }
    return buffer
  }

  private func view(_ buffer: AlignedBuffer?, _ kind: Functor.Kind) -> MatrixView? {
    let (heads, dimension) = columns(kind)
    return buffer?.elements(Float.self).baseAddress.map {
      MatrixView($0, rows: places(kind).count, columns: heads * dimension)
    }
  }

  /// Where the output goes that output functors are given; `nil` where there are none.
  var innerOutput: MatrixView? { view(outputMemory, .output) }

  /// A copy of a tensor in this kind's memory.
  func copy(_ x: MatrixView, _ kind: Functor.Kind) -> MatrixView {
    guard let y = view(memory[kind], kind) else { return x }
    for i in 0..<x.rows { y.row(i).update(from: x.row(i), count: x.columns) }
    return y
  }

  /// What the functors of a kind make of a tensor, in memory of their own; `nil` without any.
  func transformed(
    _ x: MatrixView, _ kind: Functor.Kind, _ data: ParameterData, on device: CPUDevice
  ) -> MatrixView? {
    guard stages[kind] != nil else { return nil }
    let y = copy(x, kind)
    transform(y, kind, data, on: device)
    return y
  }

  /// Applies the functors of a kind to a tensor, in place.
  func transform(
    _ x: MatrixView, _ kind: Functor.Kind, _ data: ParameterData, on device: CPUDevice
  ) {
    forEachVector(of: x, kind, on: device) { vector, place, _, walker in
      walker.take(vector)
      walker.forward(place, data)
      walker.put(vector)
    }
  }

  /// Turns the gradient by what functors made of `x` into the gradient by `x`, in place, and adds the
  /// gradient by parameters, in the order of rows and heads.
  func pullBack(
    _ gradient: MatrixView, from x: MatrixView, _ kind: Functor.Kind, _ data: ParameterData,
    on device: CPUDevice, _ parameters: inout ParameterGradient
  ) {
    guard let stages = stages[kind] else { return }
    let (heads, dimension) = columns(kind)
    let width = stages.reduce(0) { $0 + $1.parameters.count }
    var sums = [Double](repeating: 0, count: max(x.rows * heads * width, 1))
    sums.withUnsafeMutableBufferPointer { sums in
      // Every vector has sums of its own.
      nonisolated(unsafe) let sums = sums
      forEachVector(of: gradient, kind, on: device) { vector, place, number, walker in
        walker.take(x.row(number / heads) + number % heads * dimension)
        walker.forward(place, data)
        walker.backward(vector, place, data) { i, value in sums[number * width + i] += value }
      }
    }
    for number in 0..<x.rows * heads {
      for (i, parameter) in stages.flatMap(\.parameters).enumerated() {
        let sum = sums[number * width + i]
        switch parameter {
        case .scalar(let p): parameters.scalars[p] += sum
        case .perHead(let p): parameters.vectors[p][number % heads] += sum
        }
      }
    }
  }

  /// Calls `body` with each vector, its place and its number: row · heads + head.
  private func forEachVector(
    of x: MatrixView, _ kind: Functor.Kind, on device: CPUDevice,
    _ body: (UnsafeMutablePointer<Float>, ScorePlace, Int, inout VectorWalker) -> Void
  ) {
    guard let stages = stages[kind] else { return }
    let (heads, dimension) = columns(kind)
    let (places, group) = (places(kind), shape.groupSize)
    let isOfQueries = kind == .query || kind == .output
    device.pool.forEachRange(places.count, grain: 8) { rows in
      var walker = VectorWalker(stages, dimension: dimension)
      for row in rows {
        for head in 0..<heads {
          var place = places[row]
          place.queryHead = isOfQueries ? head : 0
          place.kvHead = isOfQueries ? head / group : head
          place.dimensionCount = dimension
          body(x.row(row) + head * dimension, place, row * heads + head, &walker)
        }
      }
    }
  }
}

/// A vector on its way through functors, with what went into each.
struct VectorWalker {
  private let stages: [VectorGradient.Stage]
  private let dimension: Int
  /// The vector before each stage and after the last.
  private var vectors: [[Double]]
  private var registers: [Double]
  private var outer: [Double]
  private var inner: [Double]

  init(_ stages: [VectorGradient.Stage], dimension: Int) {
    self.stages = stages
    self.dimension = dimension
    let zeros = [Double](repeating: 0, count: dimension)
    vectors = Array(repeating: zeros, count: stages.count + 1)
    registers = Array(repeating: 0, count: max(stages.map(\.registerCount).max() ?? 0, 1))
    (outer, inner) = (zeros, zeros)
  }

  /// Begins with a vector.
  mutating func take(_ x: UnsafePointer<Float>) {
    for d in 0..<dimension { vectors[0][d] = Double(x[d]) }
  }

  /// Writes what came out.
  func put(_ x: UnsafeMutablePointer<Float>) {
    for d in 0..<dimension { x[d] = Float(vectors[stages.count][d]) }
  }

  mutating func forward(_ place: ScorePlace, _ data: ParameterData) {
    for (s, stage) in stages.enumerated() {
      evaluate(stage, vectors[s], place, data) { walker, d in
        walker.vectors[s + 1][d] = walker.registers[stage.program.view.outputs[0]]
      }
    }
  }

  /// Replaces the gradient by what came out by the gradient by what went in.
  ///
  /// - Parameter add: Called with the number of a parameter, of all stages in order, and a part of
  ///   its derivative.
  mutating func backward(
    _ gradient: UnsafeMutablePointer<Float>, _ place: ScorePlace, _ data: ParameterData,
    _ add: (Int, Double) -> Void
  ) {
    for d in 0..<dimension { outer[d] = Double(gradient[d]) }
    var first = stages.reduce(0) { $0 + $1.parameters.count }
    for (s, stage) in stages.enumerated().reversed() {
      first -= stage.parameters.count
      for d in 0..<dimension { inner[d] = 0 }
      evaluate(stage, vectors[s], place, data) { walker, d in
        let (slopes, by) = (stage.program.view.outputs + 1, walker.outer[d])
        for (i, partner) in stage.partners.enumerated() {
          walker.inner[partner(d, of: walker.dimension)] += by * walker.registers[slopes[i]]
        }
        for i in stage.parameters.indices {
          add(first + i, by * walker.registers[slopes[stage.partners.count + i]])
        }
      }
      swap(&inner, &outer)
    }
    for d in 0..<dimension { gradient[d] = Float(outer[d]) }
  }

  /// Runs a stage's program at every element of a vector.
  private mutating func evaluate(
    _ stage: VectorGradient.Stage, _ vector: [Double], _ place: ScorePlace, _ data: ParameterData,
    _ body: (inout VectorWalker, Int) -> Void
  ) {
    var place = place
    for d in 0..<dimension {
      place.dimension = d
      registers.withUnsafeMutableBufferPointer { registers in
        vector.withUnsafeBufferPointer { vector in
          guard let base = registers.baseAddress else { return }
          stage.program.view.run(at: place, data, base, vector: vector.baseAddress)
        }
      }
      body(&self, d)
    }
  }
}
