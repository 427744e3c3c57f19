import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOHTTP1

/// Turns whatever a handler throws into an error of the API's shape, counts and logs requests.
///
/// The log has the method, the path, the status and the time, never a prompt or an answer.
struct ReportMiddleware: RouterMiddleware {
  let metrics: ServerMetrics
  let logger: Logger
  /// The methods of each path there is.
  let methods: [String: [HTTPRequest.Method]]
  let isStopping: @Sendable () -> Bool

  func handle(
    _ request: Request, context: ServerContext,
    next: (Request, ServerContext) async throws -> Response
  ) async throws -> Response {
    let start = ContinuousClock.now
    let result: Result<Response, any Error>
    do {
      result = .success(try await next(request, context))
    } catch {
      result = .failure(error)
    }
    return try report(result, of: request, since: start)
  }

  /// Not part of `handle`, whose variables every open connection keeps.
  @inline(never)
  private func report(
    _ result: Result<Response, any Error>, of request: Request, since start: ContinuousClock.Instant
  ) throws -> Response {
    var response: Response
    switch result {
    case .success(let answer): response = answer
    // The connection's handler answers.
    case .failure(let error as HTTPParserError): throw error
    case .failure(let error):
      response = Response(self.error(error, request))
      if response.status == .methodNotAllowed, let allowed = methods[request.uri.path] {
        response.headers[.allow] = allowed.map(\.rawValue).joined(separator: ", ")
      }
    }
    if request.method == .head { response = response.createHeadResponse() }
    // The client may not expect another answer on this connection.
    if isStopping() { response.headers[.connection] = "close" }
    let endpoint = methods[request.uri.path] == nil ? "other" : request.uri.path
    metrics.record(endpoint, status: response.status.code)
    let milliseconds = (ContinuousClock.now - start) / .milliseconds(1)
    logger.info(
      "request",
      metadata: [
        "method": "\(request.method.rawValue)", "path": "\(endpoint)",
        "status": "\(response.status.code)", "ms": "\(Int(milliseconds))",
      ])
    return response
  }

  private func error(_ error: any Error, _ request: Request) -> APIError {
    switch error {
    case let error as APIError: return error
    case is CancellationError: return .clientLeft
    case let error as HTTPError where error.status == .notFound:
      let path = request.uri.path
      if methods[path] != nil {
        var wrong = APIError.invalid(
          nil, "\(request.method.rawValue) is not a method of \(path.brief)",
          code: "method_not_allowed")
        wrong.status = .methodNotAllowed
        return wrong
      }
      return .notFound("there is nothing at \(path.brief)", code: "unknown_url")
    case let error as HTTPError:
      var other = APIError.invalid(nil, error.body ?? error.status.reasonPhrase)
      other.status = error.status
      return other
    default:
      logger.error("unexpected error", metadata: ["error": "\(error)"])
      return .server("something went wrong in the server; its log says what")
    }
  }
}

/// Lets only clients with a key to the model.
struct KeyMiddleware: RouterMiddleware {
  let keys: APIKeys

  func handle(
    _ request: Request, context: ServerContext,
    next: (Request, ServerContext) async throws -> Response
  ) async throws -> Response {
    guard keys.admit(request.headers[.authorization]) else { throw APIError.unauthorized }
    return try await next(request, context)
  }
}
