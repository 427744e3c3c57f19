import Glibc

/// §3.5: PE(pos, 2i) = sin(pos / 10000^(2i/d)), PE(pos, 2i+1) = cos(pos / 10000^(2i/d)).
struct SinusoidalPositions: Sendable {
  let dimension: Int
  private(set) var rows: [Float] = []

  init(dimension: Int) { self.dimension = dimension }

  /// The number of positions in the table.
  var count: Int { rows.count / dimension }

  /// Lets the table reach `count` positions.
  mutating func extend(to count: Int) {
    for position in self.count..<max(count, self.count) {
      for i in 0..<dimension {
        let angle = Double(position) * pow(10000, -Double(i & ~1) / Double(dimension))
        rows.append(Float(i & 1 == 0 ? sin(angle) : cos(angle)))
      }
    }
  }
}
