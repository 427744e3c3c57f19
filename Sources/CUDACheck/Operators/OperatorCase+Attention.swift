import Attention
import Devices
import Glibc
import Tensors

// What surrounds attention: states, pages, masks.
extension OperatorCase {
  static func states(_ type: ElementType) -> OperatorCase {
    OperatorCase(name: "states-\(type.rawValue)", family: .states, type: type, limit: limit(type)) {
      bench, operators, device in
      var noise = Noise(6)
      var worst = 0.0
      let (rows, heads) = (5, 3)
      for dimension in [1, 40, 256] {
        for base in [LogSumExp.Base.natural, .two] {
          let logOfBase = base == .two ? log(Float(2)) : 1
          // Empty states have outputs that are no numbers.
          func state(_ rows: Int, isEmpty: (Int, Int) -> Bool) -> (Grid, Grid) {
            let outputs = Grid(bench, type, rows, heads * dimension, padding: 0) { row, column in
              isEmpty(row, column / dimension) ? .nan : noise.float()
            }
            let lse = Grid(bench, .float32, rows, heads, padding: 0) { row, head in
              isEmpty(row, head) ? -.infinity : noise.float() * 4
            }
            return (outputs, lse)
          }
          func arguments(_ s: (Grid, Grid)) throws -> CUDAOperators.States {
            try CUDAOperators.States(
              outputs: s.0.address, logSumExps: s.1.address, logOfBase: logOfBase)
          }
          func reference(_ s: (Grid, Grid)) -> ((Grid, Grid), AttentionStates) {
            let copies = (s.0.floats(), s.1.floats())
            return (
              copies,
              AttentionStates(outputs: copies.0.view, logSumExps: copies.1.view, base: base)
            )
          }
          let a = state(rows) { $0 == 1 || $0 == 2 && $1 == 0 }
          let b = state(rows) { row, _ in row == 1 || row == 3 }
          let mask: [UInt8] = [1, 1, 1, 1, 0]
          let (kept, expected) = reference(a)
          let (other, second) = reference(b)
          try device.mergeStateInPlace(expected, second, mask: mask.map { $0 != 0 })
          let lists = Lists(bench)
          try bench.run(
            operators.mergeState(
              arguments(a), arguments(b), mask: lists(mask), into: arguments(a), rows: rows,
              heads: heads, dimension: dimension))
          worst = max(worst, a.0.error(kept.0), a.1.error(kept.1))

          let many = state(11) { ($0 + $1) % 4 == 0 || $0 > 8 }
          let (copies, all) = reference(many)
          let offsets = [0, 0, 1, 6, 9, 11]
          let result = (
            Grid(bench, type, rows, heads * dimension, padding: 0),
            Grid(bench, .float32, rows, heads, padding: 0)
          )
          let (merged, target) = reference(result)
          try device.mergeStates(all, index: RaggedIndex(offsets: offsets), into: target)
          try bench.run(
            operators.mergeStates(
              arguments(many), offsets: lists(offsets.map { Int32($0) }), into: arguments(result),
              rows: rows, heads: heads, dimension: dimension))
          worst = max(worst, result.0.error(merged.0), result.1.error(merged.1))
          let even = AttentionStates(
            outputs: all.outputs.rows(0..<2 * rows), logSumExps: all.logSumExps.rows(0..<2 * rows),
            base: base)
          try device.mergeStates(even, count: 2, into: target)
          try bench.run(
            operators.mergeStates(
              arguments(many), count: 2, into: arguments(result), rows: rows, heads: heads,
              dimension: dimension))
          worst = max(worst, result.0.error(merged.0), result.1.error(merged.1))
          // Their views are of memory that these own.
          withExtendedLifetime((other, copies)) {}
        }
      }
      return worst
    }
  }

  /// Every stored type to the last bit of what the processor's cache holds.
  static var pages: [OperatorCase] {
    let stored: [ElementType] = [
      .float32, .bfloat16, .float16, .float8E4M3, .float8E5M2, .int8,
    ]
    return stored.enumerated().map { i, stored in
      // Activations in turn, of other types than what is stored too.
      let type = types[(i + 1) % types.count]
      return OperatorCase(
        name: "pages-\(stored.rawValue)-\(type.rawValue)", family: .pages, type: type,
        storedType: stored, limit: 0
      ) { bench, operators, device in
        var noise = Noise(7)
        let (heads, dimension, valueDimension, pageSize, pages) = (3, 40, 21, 5, 4)
        let size: Float = stored == .int8 ? 90 : stored == .float8E4M3 ? 300 : 3
        let keys = Grid(bench, type, 6, heads * dimension) { _, _ in noise.float() * size }
        let values = Grid(bench, type, 6, heads * valueDimension) { _, _ in noise.float() * size }
        let slots = [7, 0, -1, 19, 4, 5]
        let scales: [Float] = [1, 0.5, 0.75]
        let cache = try PagedKVCache(
          pageCount: pages, pageSize: pageSize, kvHeads: heads, headDimension: dimension,
          valueDimension: valueDimension, elementType: stored, keyScales: scales,
          valueScales: scales)
        let copies = (keys.floats(), values.floats())
        try cache.append(
          keys: copies.0.view, values: copies.1.view, slots: slots, on: device)
        // Tokens of a head follow each other in one pool, heads of a token in the other.
        let keyRows = Grid(bench, stored, pages * heads * pageSize, dimension, padding: 0)
        let valueRows = Grid(bench, stored, pages * pageSize, heads * valueDimension, padding: 0)
        let lists = Lists(bench)
        try bench.run(
          operators.append(
            keys.matrix,
            to: .init(
              keyRows.address, page: heads * pageSize * dimension, head: pageSize * dimension,
              token: dimension, scales: lists(scales)),
            values.matrix,
            to: .init(
              valueRows.address, page: pageSize * heads * valueDimension, head: valueDimension,
              token: heads * valueDimension, scales: lists(scales)),
            slots: lists(slots.map { Int32($0) }), pageSize: pageSize, heads: heads))
        var worst = 0.0
        for slot in 0..<pages * pageSize {
          for head in 0..<heads {
            let row = try cache.row(slot: slot, head: head, on: device)
            let isWritten = slots.contains(slot)
            func compare(_ found: Float, _ expected: Float) {
              // What no row went to is as it was.
              let unwritten = stored == .int8 ? found == 0 : found.isNaN
              if isWritten ? found != expected : !unwritten { worst = .infinity }
            }
            let page = slot / pageSize * heads + head
            for d in 0..<dimension {
              compare(keyRows[page * pageSize + slot % pageSize, d] * scales[head], row.key[d])
            }
            for d in 0..<valueDimension {
              compare(valueRows[slot, head * valueDimension + d] * scales[head], row.value[d])
            }
          }
        }
        withExtendedLifetime(copies) {}
        return worst
      }
    }
  }

  static var bits: OperatorCase {
    OperatorCase(name: "bits", family: .bits, type: .float32, limit: 0) { bench, operators, _ in
      var noise = Noise(8)
      let shapes = [(3, 7), (0, 5), (1, 1), (8, 8), (5, 777)].map {
        PackedMask.Shape(queries: $0.0, keys: $0.1)
      }
      let values = shapes.map { shape in
        (0..<shape.queries * shape.keys).map { _ in noise.word() % 2 == 0 }
      }
      let expected = try PackedMask(values, shapes: shapes)
      let lists = Lists(bench)
      let bytes = try lists([UInt8](repeating: 0xff, count: expected.bytes.count + 1))
      let found = lists.elements(UInt8.self)
      let offsets = values.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1.count) }
      for isHighestFirst in [false, true] {
        try bench.run(
          operators.packBits(
            lists(values.flatMap { $0.map { $0 ? 2 as UInt8 : 0 } }), offsets: lists(offsets),
            into: bytes, byteOffsets: lists(expected.offsets), segments: shapes.count,
            isHighestFirst: isHighestFirst))
        for (i, byte) in expected.bytes.enumerated() {
          var reversed: UInt8 = 0
          for bit in 0..<8 where byte >> UInt8(bit) & 1 != 0 { reversed |= 0x80 >> UInt8(bit) }
          if found[i] != (isHighestFirst ? reversed : byte) { return .infinity }
        }
        if found[expected.bytes.count] != 0xff { return .infinity }
      }
      return 0
    }
  }
}
