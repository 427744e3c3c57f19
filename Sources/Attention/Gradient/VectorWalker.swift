/// Up to sixteen vectors on their way through the functors of a kind, and their gradient on its way back.
///
/// Blocks are rows `pitch` floats apart. Padding is computed with and read by nobody.
struct VectorWalker {
  /// The functors as a thread reads them.
  private struct Stage {
    let value: VectorFunctor.View
    let byElements: [(partner: Expression.Partner, slope: VectorFunctor.View)]
    let byParameters: [VectorFunctor.View]
  }

  private let stages: [Stage]
  private let dimension: Int
  private let pitch: Int
  private let scratch: VariantScratch
  private let inputs: VectorFunctor.Inputs
  /// The vectors before each stage and after the last.
  private let vectors: [UnsafeMutablePointer<Float>]
  private var outer, inner: UnsafeMutablePointer<Float>
  private let slopes, moved: UnsafeMutablePointer<Float>

  /// Floats of the blocks of a walker.
  static func size(stages: Int, dimension: Int) -> Int {
    (stages + 5) * VectorFunctor.tokens * VectorFunctor.pitch(dimension)
  }

  /// - Parameter memory: As much as `size` says, of this thread alone.
  init(
    _ stages: [VectorStage], dimension: Int, memory: UnsafeMutablePointer<Float>,
    _ scratch: VariantScratch, _ inputs: VectorFunctor.Inputs
  ) {
    self.stages = stages.map { stage in
      Stage(
        value: stage.value.view, byElements: stage.byElements.map { ($0.partner, $0.slope.view) },
        byParameters: stage.byParameters.map(\.slope.view))
    }
    self.dimension = dimension
    self.scratch = scratch
    self.inputs = inputs
    let pitch = VectorFunctor.pitch(dimension)
    self.pitch = pitch
    let blocks = (0..<stages.count + 5).map { memory + $0 * VectorFunctor.tokens * pitch }
    vectors = Array(blocks[...stages.count])
    (outer, inner) = (blocks[stages.count + 1], blocks[stages.count + 2])
    (slopes, moved) = (blocks[stages.count + 3], blocks[stages.count + 4])
  }

  /// Puts `count` rows through the functors.
  func forward(
    _ rows: UnsafePointer<Float>, stride: Int, count: Int, place: (Int) -> ScorePlace
  ) {
    copy(rows, stride, to: vectors[0], pitch, count)
    for (s, stage) in stages.enumerated() {
      vectors[s + 1].update(from: vectors[s], count: count * pitch)
      stage.value.apply(to: vectors[s + 1], count: count, scratch, inputs, place: place)
    }
  }

  /// Writes what came out.
  func put(_ rows: UnsafeMutablePointer<Float>, stride: Int, count: Int) {
    copy(vectors[stages.count], pitch, to: rows, stride, count)
  }

  /// Replaces the gradient by what came out by the gradient by what went in.
  ///
  /// - Parameter add: Called with the number of a parameter, of all stages in order, a row's number, and
  ///   its part of the derivative.
  mutating func backward(
    _ gradient: UnsafeMutablePointer<Float>, stride: Int, count: Int,
    place: (Int) -> ScorePlace, _ add: (_ parameter: Int, _ row: Int, _ value: Double) -> Void
  ) {
    copy(gradient, stride, to: outer, pitch, count)
    var first = stages.reduce(0) { $0 + $1.byParameters.count }
    let size = count * pitch
    for (s, stage) in stages.enumerated().reversed() {
      first -= stage.byParameters.count
      for (i, slope) in stage.byParameters.enumerated() {
        evaluate(slope, at: vectors[s], count, place)
        for row in 0..<count { add(first + i, row, product(slopes, outer, row)) }
      }
      inner.update(repeating: 0, count: size)
      for (partner, slope) in stage.byElements {
        evaluate(slope, at: vectors[s], count, place)
        for i in 0..<size { slopes[i] *= outer[i] }
        var terms = slopes
        if partner != .own {
          // What element i reads of its partner, the partner gets of it: partners are so in pairs.
          for row in 0..<count {
            inputs.exchange(partner, slopes + row * pitch, dimension, 1, moved + row * pitch)
          }
          terms = moved
        }
        for i in 0..<size { inner[i] += terms[i] }
      }
      swap(&inner, &outer)
    }
    copy(outer, pitch, to: gradient, stride, count)
  }

  private func evaluate(
    _ slope: VectorFunctor.View, at vectors: UnsafePointer<Float>, _ count: Int,
    _ place: (Int) -> ScorePlace
  ) {
    slopes.update(from: vectors, count: count * pitch)
    slope.apply(to: slopes, count: count, scratch, inputs, place: place)
  }

  private func copy(
    _ x: UnsafePointer<Float>, _ stride: Int, to y: UnsafeMutablePointer<Float>, _ pitch: Int,
    _ count: Int
  ) {
    for row in 0..<count { (y + row * pitch).update(from: x + row * stride, count: dimension) }
  }

  /// Σ x·y over a row, four sums in Double.
  private func product(_ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ row: Int) -> Double {
    let (x, y) = (x + row * pitch, y + row * pitch)
    var sums = SIMD4<Double>()
    for d in stride(from: 0, to: dimension / 4 * 4, by: 4) {
      let a = SIMD4<Float>(x[d], x[d + 1], x[d + 2], x[d + 3])
      let b = SIMD4<Float>(y[d], y[d + 1], y[d + 2], y[d + 3])
      sums += SIMD4<Double>(a) * SIMD4<Double>(b)
    }
    var sum = sums.sum()
    for d in dimension / 4 * 4..<dimension { sum += Double(x[d]) * Double(y[d]) }
    return sum
  }
}
