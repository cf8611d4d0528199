import java.io.*;
import java.util.*;
import java.util.concurrent.*;
import net.i2p.client.streaming.*;
import net.i2p.data.Destination;

/**
 * A destination on Java I2P's streaming library: a server of streams, and a client on command.
 *
 * The argument is the I2CP port of a router on 127.0.0.1. The first line of output is the
 * destination. Each line of input is a command with a number, and is answered by a line with the
 * same number, in the order in which commands end:
 *
 *   N echo DESTINATION BYTES    opens a stream, sends noise and a CLOSE, and reads it back to the end
 *   N many DESTINATION STREAMS  the same with a few bytes on many streams at once
 *   N reset DESTINATION         asks the peer to reset the stream, and waits for that
 *   N abort DESTINATION         opens a stream, waits for the answer to one byte, and resets it
 *   N ping DESTINATION
 *
 * Answers are "N ok MILLISECONDS", the time to connect, or "N failed REASON". The program ends with
 * its input.
 *
 * The first byte of a stream says what the server does: 'e' echoes until the end, 'r' resets, 'c'
 * sends 100 kB and closes at once, 'w' sends one byte and prints "end REASON" when reading ends.
 */
public class Peer {
    static final int LIMIT_MS = 60_000;
    static I2PSocketManager manager;

    public static void main(String[] args) throws Exception {
        Properties options = new Properties();
        options.setProperty("i2cp.leaseSetEncType", "4");
        manager = I2PSocketManagerFactory.createManager("127.0.0.1", Integer.parseInt(args[0]), options);
        if (manager == null)
            throw new IOException("no session");
        say(manager.getSession().getMyDestination().toBase64());
        I2PServerSocket server = manager.getServerSocket();
        start(() -> {
            while (true) {
                I2PSocket socket = server.accept();
                if (socket != null)
                    start(() -> serve(socket));
            }
        });
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = input.readLine()) != null; ) {
            String[] words = line.split(" ");
            start(() -> say(words[0] + " " + answer(words)));
        }
        // The process that started this one is gone, or wants no more.
        System.exit(0);
    }

    static void serve(I2PSocket socket) throws Exception {
        InputStream in = socket.getInputStream();
        OutputStream out = socket.getOutputStream();
        switch (in.read()) {
            case 'e':
                in.transferTo(out);
                out.close();
                break;
            case 'r':
                socket.reset();
                return;
            case 'c':
                out.write(noise(100_000));
                out.close();
                while (in.read() >= 0) { }
                break;
            case 'w':
                out.write('w');
                out.flush();
                try {
                    while (in.read() >= 0) { }
                    say("end closed");
                } catch (IOException e) {
                    say("end reset");
                }
                return;
        }
        close(socket);
    }

    static String answer(String[] words) {
        try {
            Destination to = new Destination(words[2]);
            switch (words[1]) {
                case "echo": return "ok " + echo(to, Integer.parseInt(words[3]));
                case "many": return "ok " + many(to, Integer.parseInt(words[3]));
                case "reset": return "ok " + reset(to);
                case "abort": return "ok " + abort(to);
                case "ping": return manager.ping(to, LIMIT_MS) ? "ok 0" : "failed no answer";
                default: return "failed unknown command";
            }
        } catch (Throwable e) {
            return "failed " + e;
        }
    }

    static double echo(Destination to, int bytes) throws Exception {
        long began = System.nanoTime();
        I2PSocket socket = connect(to);
        double connected = millisSince(began);
        byte[] sent = noise(bytes);
        OutputStream out = socket.getOutputStream();
        Thread writer = start(() -> {
            out.write('e');
            out.write(sent);
            out.close();
        });
        byte[] back = socket.getInputStream().readAllBytes();
        writer.join(LIMIT_MS);
        close(socket);
        if (!Arrays.equals(sent, back))
            throw new IOException(back.length + " of " + bytes + " bytes came back");
        return connected;
    }

    static double many(Destination to, int streams) throws Exception {
        long began = System.nanoTime();
        ExecutorService pool = Executors.newFixedThreadPool(streams);
        List<Future<Double>> all = new ArrayList<>();
        for (int i = 0; i < streams; i++) {
            int bytes = 100 + i;
            all.add(pool.submit(() -> echo(to, bytes)));
        }
        for (Future<Double> one : all)
            one.get();
        pool.shutdown();
        return millisSince(began);
    }

    static double reset(Destination to) throws Exception {
        long began = System.nanoTime();
        I2PSocket socket = connect(to);
        double connected = millisSince(began);
        OutputStream out = socket.getOutputStream();
        try {
            // The reset may come while this still waits.
            out.write('r');
            out.flush();
            int end = socket.getInputStream().read();
            throw new Exception("read " + end + " where a reset should be");
        } catch (IOException e) {
            return connected;
        }
    }

    static double abort(Destination to) throws Exception {
        long began = System.nanoTime();
        I2PSocket socket = connect(to);
        double connected = millisSince(began);
        OutputStream out = socket.getOutputStream();
        out.write('w');
        out.flush();
        socket.getInputStream().read();
        socket.reset();
        return connected;
    }

    /** Closing what the peer has closed may fail with "disconnected". */
    static void close(I2PSocket socket) {
        try {
            socket.close();
        } catch (IOException e) {
            // Both ends were read and written before.
        }
    }

    static I2PSocket connect(Destination to) throws Exception {
        I2PSocketOptions options = manager.buildOptions();
        options.setConnectTimeout(LIMIT_MS);
        options.setReadTimeout(LIMIT_MS);
        return manager.connect(to, options);
    }

    static byte[] noise(int length) {
        byte[] bytes = new byte[length];
        new Random(7).nextBytes(bytes);
        return bytes;
    }

    static double millisSince(long began) {
        return Math.round((System.nanoTime() - began) / 1e5) / 10.0;
    }

    static synchronized void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    interface Action {
        void run() throws Exception;
    }

    static Thread start(Action action) {
        Thread thread = new Thread(() -> {
            try {
                action.run();
            } catch (Exception e) {
                System.err.println("Peer: " + e);
            }
        });
        thread.setDaemon(true);
        thread.start();
        return thread;
    }
}
