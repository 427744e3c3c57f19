/// The values of `format`, as regular expressions that the whole string matches.
enum SchemaFormats {
  private static let year = "(?:000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"

  /// Days that exist; the 29th of February in leap years only.
  private static let date: String = {
    let leap =
      "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
    let long = "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    let short = "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    return "(?:\(year)-(?:\(long)|\(short)|02-(?:0[1-9]|1[0-9]|2[0-8]))|\(leap)-02-29)"
  }()

  private static let clock = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,6})?"
  private static let zone = "(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
  private static let octet = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
  private static let label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
  private static let hostname = "\(label)(?:\\.\(label)){0,7}"

  // ISO 8601 durations: units in their order, none left out between two.
  private static let number = "[0-9]{1,4}"
  private static let days =
    "(?:\(number)D|\(number)M(?:\(number)D)?|\(number)Y(?:\(number)M(?:\(number)D)?)?)"
  private static let hours =
    "(?:\(number)S|\(number)M(?:\(number)S)?|\(number)H(?:\(number)M(?:\(number)S)?)?)"

  /// RFC 4291 without embedded IPv4 addresses.
  private static let ipv6: String = {
    let group = "[0-9A-Fa-f]{1,4}"
    var forms = ["(?:\(group):){7}\(group)"]
    for before in 0...7 {
      let left = before == 0 ? "" : "(?:\(group):){\(before - 1)}\(group)"
      let after = 7 - before
      forms.append(
        after == 0 ? "\(left)::" : "\(left)::(?:\(group)(?::\(group)){0,\(after - 1)})?")
    }
    return "(?:" + forms.joined(separator: "|") + ")"
  }()

  /// Patterns by format.
  ///
  /// Some allow less than the format does, none more.
  static let patterns: [String: String] = [
    "date": date,
    "time": clock + zone,
    "date-time": date + "T" + clock + zone,
    "duration": "P(?:\(number)W|\(days)(?:T\(hours))?|T\(hours))",
    "uuid": "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
    "email":
      "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,32}(?:\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,16}){0,2}@"
      + "\(label)(?:\\.\(label)){1,3}",
    "hostname": hostname,
    "ipv4": "\(octet)(?:\\.\(octet)){3}",
    "ipv6": ipv6,
    "uri":
      "[a-z][a-z0-9+.-]{0,15}://\(hostname)(?::[0-9]{1,5})?"
      + "(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*"
      + "(?:\\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
      + "(?:#(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?",
  ]

  /// The formats of the standard that no pattern here says.
  static let unsupported: Set<String> = [
    "idn-email", "idn-hostname", "uri-reference", "iri", "iri-reference", "uri-template",
    "json-pointer", "relative-json-pointer", "regex",
  ]
}
