/// One request of a load: what is asked and how much.
struct LoadRequest {
  /// The prompt's text.
  var prompt: String
  /// The tokens to generate; the server is asked to ignore the end of generation.
  var outputTokens: Int
  /// Seconds after the beginning, where a trace says so.
  var arrival: Double?
}
