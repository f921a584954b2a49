// Answers every request with its target, and says on standard output what it was asked and what it could not read.
const http = require('node:http');
const server = http.createServer((request, response) => {
  process.stdout.write(`SAW ${request.url}\n`);
  request.resume();
  request.on('end', () => response.end(request.url));
});
server.keepAliveTimeout = 60000;
server.on('clientError', (error, socket) => {
  process.stdout.write(`BAD ${error.code}\n`);
  socket.destroy();
});
server.on('upgrade', (request, socket) => {
  process.stdout.write(`SAW ${request.url}\n`);
  socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
});
server.listen(Number(process.argv[2]), '127.0.0.1');
