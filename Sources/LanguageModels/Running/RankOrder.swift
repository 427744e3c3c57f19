import Attention
import Tensors
import Tokenizers

/// What rank 0 tells the ranks that follow it, and how it is written.
enum RankOrder {
  case makeRunner(Int32, BatchRunner.Options)
  case dropRunner(Int32)
  case step(Int32, ModelStep)
  case copyPage(Int32, source: Int32, target: Int32)
  case logits(Int32, [Int32])
  case end

  /// The order as 32-bit numbers.
  func words() throws -> [Int32] {
    var writer = Writer()
    switch self {
    case .makeRunner(let number, let options):
      writer.words += [0, number]
      writer.write(options)
    case .dropRunner(let number): writer.words += [1, number]
    case .step(let number, let step):
      writer.words += [2, number]
      try writer.write(step)
    case .copyPage(let number, let source, let target):
      writer.words += [3, number, source, target]
    case .end: writer.words.append(4)
    case .logits(let number, let rows):
      writer.words += [5, number]
      writer.write(rows)
    }
    return writer.words
  }

  /// The order that is written in 32-bit numbers.
  init(_ words: [Int32]) throws {
    var reader = Reader(words: words[...])
    switch try reader.next() {
    case 0: self = .makeRunner(try reader.next(), try reader.options())
    case 1: self = .dropRunner(try reader.next())
    case 2: self = .step(try reader.next(), try reader.step())
    case 3:
      self = .copyPage(try reader.next(), source: try reader.next(), target: try reader.next())
    case 4: self = .end
    case 5: self = .logits(try reader.next(), Array(try reader.list()))
    case let other: throw ModelError.ranks("rank 0 sent an unknown order \(other)")
    }
  }

  private struct Writer {
    var words: [Int32] = []

    mutating func write(_ list: some Collection<Int32>) {
      words.append(Int32(list.count))
      words += list
    }

    mutating func write(_ options: BatchRunner.Options) {
      let type = ElementType.allCases.firstIndex(of: options.kvType) ?? 0
      words += [
        Int32(type), Int32(options.pageCount), Int32(options.pageSize), Int32(options.rows),
        Int32(options.context ?? -1), Int32(options.sequences ?? -1),
        // An explicit composition says how pages are read, not what comes of it.
        options.composition == .automatic ? 1 : 0, options.isBatchInvariant ? 1 : 0,
        options.rotatesInAttention ? 1 : 0,
      ]
    }

    mutating func write(_ pages: PageTable) {
      words.append(Int32(pages.pageSize))
      write(pages.offsets)
      write(pages.indices)
      write(pages.positions)
      write(pages.kvLengths)
    }

    mutating func write(_ step: ModelStep) throws {
      guard step.batch.rows == nil else {
        throw ModelError.ranks("block rows are not divided among them")
      }
      write(step.tokens)
      write(step.batch.queries.offsets.map { Int32($0) })
      write(step.batch.pages)
      guard let trees = step.trees else { return words.append(0) }
      words.append(1)
      words.append(Int32(trees.trees.count))
      for tree in trees.trees { write(tree.parents.map { Int32($0) }) }
      write(trees.batch.pages)
    }
  }

  private struct Reader {
    var words: ArraySlice<Int32>

    mutating func next() throws -> Int32 {
      guard let word = words.popFirst() else { throw ModelError.ranks("an order is cut short") }
      return word
    }

    mutating func list() throws -> ArraySlice<Int32> {
      let count = Int(try next())
      guard (0...words.count).contains(count) else {
        throw ModelError.ranks("an order is cut short")
      }
      defer { words = words.dropFirst(count) }
      return words.prefix(count)
    }

    mutating func numbers() throws -> [Int] { try list().map { Int($0) } }

    mutating func options() throws -> BatchRunner.Options {
      let type = Int(try next())
      guard ElementType.allCases.indices.contains(type) else {
        throw ModelError.ranks("rank 0 has an unknown element type")
      }
      var options = BatchRunner.Options(
        pageCount: Int(try next()), pageSize: Int(try next()), rows: Int(try next()))
      options.kvType = ElementType.allCases[type]
      let context = Int(try next())
      options.context = context < 0 ? nil : context
      let sequences = Int(try next())
      options.sequences = sequences < 0 ? nil : sequences
      options.composition = try next() == 1 ? .automatic : .off
      options.isBatchInvariant = try next() == 1
      options.rotatesInAttention = try next() == 1
      return options
    }

    mutating func pages() throws -> PageTable {
      let pageSize = Int(try next())
      let (offsets, indices, positions) = (try numbers(), try numbers(), try numbers())
      let lengths = try numbers()
      guard positions.isEmpty else {
        return try PageTable(
          offsets: offsets, indices: indices, positions: positions, kvLengths: lengths,
          pageSize: pageSize)
      }
      let last = lengths.indices.map { r in
        let pages = offsets[r + 1] - offsets[r]
        return pages == 0 ? 0 : lengths[r] - (pages - 1) * pageSize
      }
      return try PageTable(
        offsets: offsets, indices: indices, lastPageLengths: last, pageSize: pageSize)
    }

    mutating func step() throws -> ModelStep {
      let tokens = [TokenID](try list())
      let offsets = try numbers()
      var step = ModelStep(
        tokens: tokens, batch: try AttentionBatch(offsets: offsets, pages: try pages()))
      if try next() == 1 {
        let trees = try (0..<(try next())).map { _ in try SpeculationTree(parents: try numbers()) }
        step.trees = try SpeculationBatch(trees: trees, pages: try pages())
      }
      return step
    }
  }
}
