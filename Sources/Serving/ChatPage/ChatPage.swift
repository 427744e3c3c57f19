/// The page at `/`: one file that needs nothing else.
enum ChatPage {
  static let html = String(decoding: PackageResources.chat_html, as: UTF8.self)

  /// Lets the page do what it does and nothing more.
  static let policy =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    + "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
