import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.Map;
import java.util.logging.Level;
import java.util.logging.Logger;

public class Ferry {
    private static final Logger LOG = Logger.getLogger("harbour.Ferry");

    static class Rope implements AutoCloseable {
        private final String name;

        Rope(String name) {
            this.name = name;
        }

        @Override
        public void close() {
            throw new IllegalStateException("the " + name + " rope tore");
        }
    }

    static int seats(Map<String, Integer> decks, String name) {
        return decks.get(name);
    }

    static void board(String deck) {
        try {
            seats(Map.of("upper", 30), deck);
        } catch (NullPointerException problem) {
            throw new UncheckedIOException("cannot board", new IOException("no deck named " + deck, problem));
        }
    }

    static void moor() {
        try (Rope bow = new Rope("bow"); Rope stern = new Rope("stern")) {
            throw new RuntimeException("the quay is full");
        }
    }

    public static void main(String[] arguments) throws Exception {
        switch (arguments[0]) {
            case "serve" -> {
                int port = Integer.parseInt(arguments[1]);
                HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
                server.start();
                LOG.info("Ferry listening on port " + port);
            }
            case "log" -> {
                LOG.fine("nobody sees this");
                LOG.info("0 errors on board");
                LOG.warning("fog ahead");
                try {
                    board("lower");
                } catch (RuntimeException problem) {
                    LOG.log(Level.SEVERE, "boarding failed", problem);
                }
                LOG.info("going on");
            }
            case "moor" -> moor();
            case "lambda" -> List.of("lower").forEach(Ferry::board);
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }
}
