import Glibc

/// A library that is opened when it is asked for, and the functions found in it by name.
///
/// Nothing links what is opened so, and a machine without it loses a feature, not the program. It stays
/// open for the life of the process: its functions may be kept, and may be called at exit.
public final class DynamicLibrary: Sendable {
  /// The name under which it was found.
  public let name: String
  private let lookUp: @Sendable (String) -> UnsafeMutableRawPointer?

  /// Why there is no library, or not the expected one.
  public enum Failure: Error, Hashable, Sendable {
    /// None of these could be opened, and why not the first.
    case notFound(tried: [String], reason: String)
    /// It lacks a function.
    case missingFunction(String, library: String)
  }

  /// Opens the first library that there is.
  ///
  /// - Parameters:
  ///   - candidates: Names for the loader, or paths.
  ///   - isGlobal: Whether libraries that are loaded later see its functions.
  public init(_ candidates: [String], isGlobal: Bool = false) throws(Failure) {
    var reason: String?
    for name in candidates {
      guard let handle = dlopen(name, RTLD_NOW | (isGlobal ? RTLD_GLOBAL : RTLD_LOCAL)) else {
        reason = reason ?? dlerror().map { String(cString: $0) }
        continue
      }
      self.name = name
      // The loader's functions may be called by any thread.
      nonisolated(unsafe) let library = handle
      lookUp = { dlsym(library, $0) }
      return
    }
    throw .notFound(tried: candidates, reason: reason ?? "it cannot be opened")
  }

  /// A library that somebody else holds: functions are looked up by a closure.
  public init(name: String, lookUp: @escaping @Sendable (String) -> UnsafeMutableRawPointer?) {
    self.name = name
    self.lookUp = lookUp
  }

  /// A library that was given, else the first that there is.
  static func given(_ library: DynamicLibrary?, else candidates: [String]) throws(Failure)
    -> DynamicLibrary
  {
    if let library { return library }
    return try DynamicLibrary(candidates)
  }

  /// Whatever this process has loaded for all to see.
  public static let process = DynamicLibrary(name: "this process") { dlsym(nil, $0) }

  /// The address of a symbol.
  public func symbol(_ name: String) throws(Failure) -> UnsafeMutableRawPointer {
    guard let address = lookUp(name) else { throw .missingFunction(name, library: self.name) }
    return address
  }

  /// A C function; the caller knows its type.
  public func function<F>(_ name: String, as type: F.Type = F.self) throws(Failure) -> F {
    unsafeBitCast(try symbol(name), to: type)
  }
}

extension DynamicLibrary.Failure: CustomStringConvertible {
  /// What is missing.
  public var description: String {
    switch self {
    case .notFound(let tried, let reason):
      "none of \(tried.joined(separator: ", ")) can be opened (\(reason))"
    case .missingFunction(let name, let library):
      "\(library) has no \(name): it is too old, or another library"
    }
  }
}
