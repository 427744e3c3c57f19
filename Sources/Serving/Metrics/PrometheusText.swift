/// Writes metrics in Prometheus' text format.
struct PrometheusText {
  private(set) var text = ""
  let prefix: String
  /// Labels of every sample.
  let labels: [(String, String)]

  init(prefix: String, labels: [(String, String)]) {
    self.prefix = prefix
    self.labels = labels
  }

  mutating func gauge(_ name: String, _ help: String, _ value: Double) {
    begin(name, help, "gauge")
    sample(name, [], value)
  }

  mutating func counter(_ name: String, _ help: String, _ value: Int) {
    begin(name, help, "counter")
    sample(name, [], Double(value))
  }

  /// A counter by labels of its own.
  mutating func counter(_ name: String, _ help: String, _ values: [([(String, String)], Int)]) {
    begin(name, help, "counter")
    for (own, value) in values { sample(name, own, Double(value)) }
  }

  mutating func histogram(_ name: String, _ help: String, _ histogram: Histogram) {
    begin(name, help, "histogram")
    var below = 0
    for (bound, count) in zip(histogram.bounds, histogram.counts) {
      below += count
      sample("\(name)_bucket", [("le", Self.number(bound))], Double(below))
    }
    sample("\(name)_bucket", [("le", "+Inf")], Double(histogram.count))
    sample("\(name)_sum", [], histogram.sum)
    sample("\(name)_count", [], Double(histogram.count))
  }

  private mutating func begin(_ name: String, _ help: String, _ type: String) {
    text += "# HELP \(prefix)\(name) \(help)\n# TYPE \(prefix)\(name) \(type)\n"
  }

  private mutating func sample(_ name: String, _ own: [(String, String)], _ value: Double) {
    let list = (labels + own).map { "\($0.0)=\"\(Self.escaped($0.1))\"" }.joined(separator: ",")
    text += "\(prefix)\(name){\(list)} \(Self.number(value))\n"
  }

  private static func number(_ value: Double) -> String {
    Int(exactly: value).map(String.init) ?? String(value)
  }

  private static func escaped(_ label: String) -> String {
    label.reduce(into: "") { text, character in
      switch character {
      case "\\": text += "\\\\"
      case "\"": text += "\\\""
      case "\n": text += "\\n"
      default: text.append(character)
      }
    }
  }
}
