/// Sets of stacks of return states, each stored once.
///
/// A set is a node: for each state that is on top in some of its stacks, an edge to the node of what
/// lies below. Equal sets have equal numbers. Edges to the states `bottom` and `unknown` end a stack.
struct StackPool {
  struct Edge: Hashable {
    /// The state to return to.
    var state: Int32
    /// The stacks below it; −1 under an end.
    var below: Int32
  }

  /// Under it the text ends.
  static let bottom: Int32 = -1
  /// Under it lies something that is not known here.
  static let unknown: Int32 = -2

  /// The node of the one empty stack.
  let empty: Int32 = 0
  /// The node of the one stack of which nothing is known.
  let hidden: Int32 = 1

  private var edges: [Edge] = []
  private var starts: [Int32] = [0]
  private var depths: [Int32] = []
  private var numbers: [[Edge]: Int32] = [:]
  private var unions: [UInt64: Int32] = [:]
  /// How many edges were looked at, a measure of time.
  private(set) var work = 0

  init() {
    _ = node([Edge(state: Self.bottom, below: -1)])
    _ = node([Edge(state: Self.unknown, below: -1)])
  }

  /// About how many bytes it takes.
  var byteCount: Int { edges.count * 40 + depths.count * 64 + unions.count * 32 }

  /// The most entries of a stack of the set.
  func depth(_ node: Int32) -> Int32 { depths[Int(node)] }

  /// What is on top of the set's stacks, sorted by state.
  func edges(_ node: Int32) -> ArraySlice<Edge> {
    edges[Int(starts[Int(node)])..<Int(starts[Int(node) + 1])]
  }

  /// The set of all stacks of `below` with a state put on top.
  mutating func push(_ state: Int32, on below: Int32) -> Int32 {
    node([Edge(state: state, below: below)])
  }

  /// The number of a set with these edges, sorted by state.
  mutating func node(_ edges: [Edge]) -> Int32 {
    work += edges.count
    if let known = numbers[edges] { return known }
    let new = Int32(truncatingIfNeeded: depths.count)
    numbers[edges] = new
    self.edges.append(contentsOf: edges)
    starts.append(Int32(truncatingIfNeeded: self.edges.count))
    depths.append(edges.reduce(0) { $1.below < 0 ? $0 : max($0, depths[Int($1.below)] + 1) })
    return new
  }

  /// The stacks of both sets.
  ///
  /// The recursion is as deep as the stacks, which are bounded.
  mutating func union(_ a: Int32, _ b: Int32) -> Int32 {
    if a == b { return a }
    let key = UInt64(UInt32(bitPattern: min(a, b))) << 32 | UInt64(UInt32(bitPattern: max(a, b)))
    if let known = unions[key] { return known }
    let (x, y) = (Array(edges(a)), Array(edges(b)))
    work += x.count + y.count
    var merged: [Edge] = []
    var i = 0
    var j = 0
    while i < x.count || j < y.count {
      if j == y.count || (i < x.count && x[i].state < y[j].state) {
        merged.append(x[i])
        i += 1
      } else if i == x.count || y[j].state < x[i].state {
        merged.append(y[j])
        j += 1
      } else {
        let below = x[i].below < 0 ? x[i].below : union(x[i].below, y[j].below)
        merged.append(Edge(state: x[i].state, below: below))
        i += 1
        j += 1
      }
    }
    let result = node(merged)
    unions[key] = result
    return result
  }
}
