import Devices

/// Where a step's numbers lie before the plan's lists: token, position and slot of every row, and what
/// every draw depends on.
struct CUDAStepInputs {
  /// The most rows, and the most draws.
  let rows, draws: Int

  /// A list of as many numbers as there are rows, or draws.
  enum List: Int, CaseIterable {
    case tokens, positions, slots
    case drawRows, temperatures, topKs, topPs, minPs, seeds, counters

    fileprivate var isOfDraws: Bool { rawValue >= List.drawRows.rawValue }
    fileprivate var elementBytes: Int { self == .seeds || self == .counters ? 8 : 4 }
  }

  /// Where a list begins; each does so at a multiple of 256 bytes.
  func offset(of list: List) -> Int {
    List.allCases.prefix(list.rawValue).reduce(0) { $0 + bytes(of: $1) }
  }

  private func bytes(of list: List) -> Int {
    ((list.isOfDraws ? draws : rows) * list.elementBytes + 255) / 256 * 256
  }

  /// What all lists take.
  var byteCount: Int { List.allCases.reduce(0) { $0 + bytes(of: $1) } }

  /// Writes a step's numbers.
  ///
  /// - Parameters:
  ///   - rows: As many as the layers compute; those that the step does not have are stored nowhere.
  ///   - places: Where its draws are made.
  ///   - last: Where those of the step before were, from which tokens are carried.
  func write(
    _ step: ModelStep, rows: Int, drawing places: DrawPlaces, after last: DrawPlaces,
    to memory: UnsafeMutableRawBufferPointer
  ) {
    func fill<T: BitwiseCopyable>(
      _ list: List, _ count: Int, _ values: [T], _ filler: T, at places: [Int]? = nil
    ) {
      let all = UnsafeMutableRawBufferPointer(rebasing: memory[offset(of: list)...])
        .bindMemory(to: T.self)
      for i in 0..<count { all[i] = filler }
      for (i, value) in values.enumerated() { all[places?[i] ?? i] = value }
    }
    var tokens = step.tokens
    for carried in step.carried {
      tokens[carried.row] = -1 - Int32(last.places[carried.draw])
    }
    fill(.tokens, rows, tokens, 0)
    fill(.positions, rows, step.positions.map { Int32($0) }, 0)
    fill(.slots, rows, step.slots.map { Int32($0) }, -1)
    guard places.count > 0 else { return }
    func fill<T: BitwiseCopyable>(_ list: List, _ filler: T, _ value: (TokenDraw) -> T) {
      fill(list, places.count, step.draws.map(value), filler, at: places.places)
    }
    fill(.drawRows, Int32(0)) { Int32($0.row) }
    fill(.temperatures, Float(0)) { $0.temperature }
    fill(.topKs, Int32(0)) { Int32(clamping: $0.filter.topK) }
    fill(.topPs, Float(1)) { $0.filter.topP }
    fill(.minPs, Float(0)) { $0.filter.minP }
    fill(.seeds, UInt64(0)) { $0.random.seed }
    fill(.counters, UInt64(0)) { $0.random.counter }
  }
}

/// Where a step's draws lie among as many as are made.
struct DrawPlaces {
  /// As many as are made.
  var count = 0
  /// Each draw's place.
  var places: [Int] = []
  /// Whether every row has the draw of its number, whoever wants it.
  var areRows = false

  /// Nothing is drawn.
  init() {}

  /// The draws of a step.
  ///
  /// - Parameter rows: The rows that layers compute, where as many tokens may be drawn.
  init(_ step: ModelStep, rows: Int?) {
    guard !step.draws.isEmpty else { return }
    areRows = rows != nil
    count = rows ?? step.draws.count
    places = areRows ? step.draws.map(\.row) : Array(step.draws.indices)
  }
}
