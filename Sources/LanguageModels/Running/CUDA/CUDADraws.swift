import Devices
import Tensors
import Tokenizers

/// What tokens are drawn in: logits, the tokens, and the way of these to the processor.
final class CUDADraws {
  /// The most rows of logits at a time.
  let rows: Int
  /// Vectors of the residual stream, logits, and the drawn tokens, 32-bit integers.
  private let vectors, logits, tokens: CUDABuffer
  private let gather, sampling: CUDAOperatorKernels
  /// Memory of the processor for two steps' tokens, and when it has them.
  private let received: [(memory: CUDAPinnedBuffer, isThere: CUDAEvent)]
  /// Steps whose tokens nobody has asked for: which memory, and the draws' places.
  private var sent: [(turn: Int, places: [Int])] = []
  private var turn = 0
  private let stream: CUDAStream
  private let columns: Int

  /// Room for draws.
  ///
  /// - Parameters:
  ///   - rows: The most rows of logits at a time.
  ///   - count: The most tokens of a step.
  init(rows: Int, count: Int, _ configuration: ModelConfiguration, on device: CUDADevice)
    throws(CUDAFailure)
  {
    let (context, bytes) = (device.context, MemoryLayout<Float>.stride)
    (self.rows, stream, columns) = (rows, device.stream, configuration.vocabularySize)
    vectors = try context.allocate(bytes: rows * configuration.width * bytes)
    logits = try context.allocate(bytes: rows * columns * bytes)
    tokens = try context.allocate(bytes: count * MemoryLayout<Int32>.stride)
    gather = try device.operators(.rows, type: .float32, storedType: .float32)
    sampling = try device.operators(.sampling, type: .float32)
    var received: [(CUDAPinnedBuffer, CUDAEvent)] = []
    for _ in 0..<2 {
      received.append(
        (
          try context.allocatePinned(bytes: count * MemoryLayout<Int32>.stride),
          try CUDAEvent(context)
        ))
    }
    self.received = received
  }

  /// Where the last step's tokens lie.
  var lastTokens: CUDAAddress { tokens.address }

  /// The logits of a row, where every row of the step has been drawn from.
  func logits(of row: Int) -> CUDAAddress {
    logits.address.advanced(by: row * columns * MemoryLayout<Float>.stride)
  }

  /// Draws a step's tokens.
  ///
  /// - Parameters:
  ///   - inputs: Where the step's numbers lie, from `base` on.
  ///   - hidden: The residual stream.
  ///   - multiply: Turns some vectors of the residual stream into logits.
  func draw(
    _ places: DrawPlaces, _ inputs: CUDAStepInputs, at base: CUDAAddress, from hidden: CUDAMatrix,
    _ multiply: (_ vectors: CUDAMatrix, _ logits: CUDAMatrix) throws -> Void
  ) throws {
    for start in stride(from: 0, to: places.count, by: rows) {
      let count = min(rows, places.count - start)
      func address(_ list: CUDAStepInputs.List, _ bytes: Int = 4) -> CUDAAddress {
        base.advanced(by: inputs.offset(of: list) + start * bytes)
      }
      var vectors = hidden
      vectors.rows = count
      if !places.areRows {
        vectors = CUDAMatrix(self.vectors.address, rows: count, columns: hidden.columns)
        try gather.launch(on: stream) {
          $0.gather(
            hidden.base, tableRows: hidden.rows, ids: address(.drawRows), into: vectors)
        }
      }
      let logits = CUDAMatrix(self.logits.address, rows: count, columns: columns)
      try multiply(vectors, logits)
      var draws = CUDAOperators.Draws(seeds: address(.seeds, 8), counters: address(.counters, 8))
      (draws.topK, draws.topP, draws.minP) = (address(.topKs), address(.topPs), address(.minPs))
      try sampling.launch(on: stream) {
        $0.sampleFromLogits(
          logits, temperatures: address(.temperatures), isPerRow: true, draws,
          into: tokens.address.advanced(by: start * 4))
      }
    }
  }

  /// Whether another step's tokens can be sent.
  var hasRoom: Bool { sent.count < received.count }

  /// Asks for the tokens of the step that has been asked for.
  func send(_ places: DrawPlaces) throws(CUDAFailure) {
    guard places.count > 0 else { return }
    turn ^= 1
    let (memory, isThere) = received[turn]
    let bytes = ((places.places.max() ?? 0) + 1) * MemoryLayout<Int32>.stride
    try stream.copy(
      tokens.address, to: UnsafeMutableRawBufferPointer(rebasing: memory.bytes[..<bytes]))
    try stream.record(isThere)
    sent.append((turn, places.places))
  }

  /// Waits for the tokens that were asked for first.
  func receive() throws(CUDAFailure) -> [TokenID?] {
    guard !sent.isEmpty else { return [] }
    let (turn, places) = sent.removeFirst()
    try received[turn].isThere.synchronize()
    let all = received[turn].memory.bytes.bindMemory(to: Int32.self)
    return places.map { all[$0] < 0 ? nil : TokenID(all[$0]) }
  }
}
